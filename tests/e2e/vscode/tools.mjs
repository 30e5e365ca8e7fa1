// The user of tests/it/vscode.rs with two repositories in one window: goals written in an editor of their own,
// approved elsewhere, cancelled, tried again and taken back; and the commands around the server.
// Arguments: the workspace, a folder for this run, a folder for pictures.

import assert from 'node:assert/strict';

import { open, run } from './browser.mjs';

// What the editor saves by itself must not state a goal that is being written.
const settings = { 'files.autoSave': 'afterDelay', 'files.autoSaveDelay': 1 };
const editor = await open(settings);
await run(editor, async () => {
  await editor.command('ClaudeCluster: Focus on Goals View');
  await writeAGoal();
  await approveElsewhere();
  await tryAgain();
  await takeBack();
  await cancelInTheOther();
  await lookAtTheServer();
});

/** With no file in front, the folder is asked for. */
async function writeAGoal() {
  await editor.command('ClaudeCluster: New Goal…');
  await editor.choose('api');
  await editor.type('tidy the api');
  const draft = editor.tab('Goal 1.md');
  const write = editor.page.locator('.quick-input-widget [aria-label*="Write several lines"]');
  await editor.click(write, () => draft.isVisible());
  await editor.focus();
  await editor.page.keyboard.press('Control+End');
  await editor.page.keyboard.type('\nand its tests');
  await editor.shows('both lines', 'tidy the api\nand its tests');
  await editor.until(
    'the editor has saved it',
    () => editor.isDirty('Goal 1.md'),
    (dirty) => !dirty,
  );
  await editor.shot('draft');
  await editor.again(
    'saving it states the goal',
    () => editor.page.keyboard.press('Control+s'),
    () => draft.isHidden(),
  );
  await editor.hasRow('tidy the api api · plan waiting for approval');
  await editor.shot('plan-waits');
}

/** The message stays where it is: what it offers does nothing any more, and says so. */
async function approveElsewhere() {
  await editor.cli('approve', 'g1');
  await editor.hasRow('Tidy up failed');
  await editor.hasRow('tidy the api api · failed');
  await editor.answer('the plan is waiting for your approval', 'Approve Plan');
  await editor.listed('This was already decided').waitFor();
  await editor.shot('decided-meanwhile');
  await editor.command('Notifications: Clear All Notifications');
}

async function tryAgain() {
  const again = async () => !(await editor.sees('Tidy up failed'));
  await editor.press(editor.named('Tidy up'), 'Retry', again);
  await editor.hasRow("~ return 'tidy' line 2");
  await editor.shot('proposed');
  await editor.answer('g1 (tidy the api) proposes changes', 'Accept All');
  await editor.hasRow('tidy the api api · applied');
  await editor.command('Notifications: Clear All Notifications');
}

async function takeBack() {
  await editor.command('ClaudeCluster: Undo Accepted Changes of Goal');
  await editor.hasRow('tidy the api api · proposed');
  await editor.hasRow("~ return 'tidy' line 2");
  await editor.command('ClaudeCluster: Redo Accepted Changes of Goal');
  await editor.hasRow('tidy the api api · applied');
}

/** A goal is about the folder of the file in front. */
async function cancelInTheOther() {
  await editor.file('main.py');
  await editor.goal('paint the web');
  await editor.hasRow('paint the web web · plan waiting for approval');
  const goal = editor.named('paint the web');
  const running = () => editor.sees('Paint running');
  await editor.press(goal, 'Approve Plan', running);
  await editor.command('Notifications: Clear All Notifications');
  await editor.press(goal, 'Cancel Goal', () => editor.sees('Paint cancelled'));
  await editor.shot('cancelled');
  await editor.press(editor.named('Paint'), 'Retry', running);
  editor.say('release paint');
  await editor.lens('Accept change from Paint').waitFor();
  await editor.hasRow('paint the web web · proposed');
}

async function lookAtTheServer() {
  await editor.command('ClaudeCluster: Doctor');
  await editor.until(
    'it says how the daemon is',
    () => editor.text(),
    (lines) => lines.some((line) => line.startsWith('✓ daemon')),
  );
  await editor.shot('doctor');
  await editor.command('ClaudeCluster: Show Logs');
  await editor.page.locator('.panel .view-lines').getByText('server:').first().waitFor();
  await editor.shot('logs');
  const before = await editor.logged(/[^]*(server: [^\n]*)/);
  assert.ok(before.includes('version'));
  await editor.file('main.py');
  await editor.command('ClaudeCluster: Restart Server');
  await editor.ready();
  await editor.lens('Accept change from Paint').waitFor();
  await editor.hasRow('paint the web web · proposed');
  await editor.shot('restarted');
}
