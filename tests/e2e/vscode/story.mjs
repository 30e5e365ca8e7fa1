// The user of tests/it/vscode.rs: goals from the palette, followed in the view and in the picture of the plan,
// and decided in the text, the view and the diff editor; with a daemon that is killed meanwhile. Arguments:
// the workspace, a folder for this run, a folder for pictures. Fails by ending with an error.

import assert from 'node:assert/strict';

import { open, run } from './browser.mjs';

const BEFORE =
  "# typed, in no file\ndef greet(name):\n    return 'hello ' + name\n\n\ndef wave():\n    return 'o/'\n";
const AFTER = BEFORE.replace('hello', 'good day');

const editor = await open();
await run(editor, async () => {
  await stateAGoal();
  await lookAtDiffs();
  await decide();
  await loseTheDaemon();
  await lookAtThePlan();
  await typeInALargeFile();
});

/** A goal about open documents, one with text that is in no file. */
async function stateAGoal() {
  for (const name of ['show.py', 'parse.py', 'greet.py']) {
    await editor.file(name);
  }
  await editor.focus();
  await editor.page.keyboard.press('Control+Home');
  await editor.page.keyboard.type('# typed, in no file\n');
  await editor.shows('what is typed', BEFORE);
  assert.ok(await editor.isDirty('greet.py'));
  await editor.goal('make it nicer');
  await editor.command('ClaudeCluster: Focus on Goals View');
  for (const title of ['Greet politely', 'Strip fields', 'Show lines']) {
    await editor.hasRow(`${title} running`);
  }
  await editor.shot('running');
  editor.say('release workers');
  await editor.message('g1 (make it nicer) proposes changes').waitFor();
  for (const title of ['Greet politely', 'Strip fields', 'Show lines']) {
    await editor.hasRow(`${title} done`);
  }
  await editor.shows('nothing has changed by itself', BEFORE);
  await editor.hasRow("~ return 'good day ' + name");
  await editor.lens('Accept change from Greet politely').waitFor();
  await editor.command('Notifications: Clear All Notifications');
  await editor.shot('proposed');
}

/** One change, and all changes of the goal, in the editor's own diffs. */
async function lookAtDiffs() {
  const modified = editor.page.locator('.monaco-diff-editor .editor.modified .view-lines');
  const good = modified.getByText("'good day '");
  await editor.click(editor.lens('Diff'), () => good.isVisible());
  await editor.shot('diff-of-a-change');
  await editor.page.keyboard.press('Control+F4');
  await editor.command('ClaudeCluster: Show Changes');
  const all = editor.page.locator('.multiDiffEntry');
  await all.filter({ hasText: 'parse.py' }).getByText('f.strip()').first().waitFor();
  await editor.shot('diff-of-the-goal');
}

/** Accepts a change, takes that back and does it again; rejects another; accepts the rest. */
async function decide() {
  await editor.file('greet.py');
  await editor.click(editor.lens('Accept change from Greet politely'));
  await editor.shows('exactly the change is in the text', AFTER);
  assert.ok(await editor.isDirty('greet.py'), 'nothing is saved');
  await editor.focus();
  await editor.page.keyboard.press('Control+z');
  await editor.shows('one undo takes the accept back and nothing else', BEFORE);
  await editor.page.keyboard.press('Control+y');
  await editor.shows('redo brings it again', AFTER);

  await editor.file('show.py');
  await editor.click(editor.lens('Reject'));
  await editor.noRow('~ print(*items)');
  await editor.shows('a reject leaves the text', 'def show(items):\n    print(items)\n');

  await editor.hasRow('~ return [f.strip()');
  await editor.command('ClaudeCluster: Accept All Changes of Goal');
  await editor.file('parse.py');
  const parsed = "def parse(text):\n    return [f.strip() for f in text.split(',')]\n";
  await editor.shows('the rest has landed', parsed);
  await editor.hasRow('create the file');
  await editor.shot('decided');
}

/** The daemon is killed while a session works and the user types. */
async function loseTheDaemon() {
  await editor.file('greet.py');
  await editor.goal('number the values');
  await editor.hasRow('Number them running');
  const before = editor.daemon();
  process.kill(before, 'SIGKILL');
  await editor.focus();
  await editor.page.keyboard.press('Control+End');
  await editor.page.keyboard.type('# typed while nobody served\n');
  await editor.shows('what is typed stays', `${AFTER}# typed while nobody served\n`);
  await editor.until(
    'there is a daemon again',
    () => editor.daemon(),
    (pid) => pid !== before,
  );
}

/** The picture of a plan while its tasks run, with the mouse and with the keyboard. */
async function lookAtThePlan() {
  await editor.command('ClaudeCluster: Show Plan');
  await editor.choose('g2: number the values');
  const plan = editor.page.frameLocator('iframe.webview').frameLocator('iframe');
  await plan.locator('[data-task="report"]').hover();
  await editor.page.mouse.down();
  editor.say('release second');
  await plan.locator('[data-task="report"].succeeded').waitFor();
  await editor.page.mouse.up();
  await plan.locator('[data-task="report"][aria-pressed="true"]:focus').waitFor();

  const pressed = plan.locator('.task[aria-pressed="true"]');
  const task = plan.locator('[data-task="values"]');
  await editor.click(task, () => plan.locator('[data-task="values"]:focus').isVisible());
  await editor.page.keyboard.press('ArrowDown');
  await editor.page.keyboard.press('ArrowRight');
  await editor.until(
    'the arrows go to the task that waits for both',
    () => pressed.getAttribute('data-task'),
    (id) => id === 'report',
  );
  await plan.locator('.details').getByText('Say what is left').waitFor();
  await editor.message('g2 (number the values) proposes changes').waitFor();
  await editor.command('Notifications: Clear All Notifications');
  await editor.shot('plan');
  await editor.hasRow('Number them done');
  await editor.command('View: Close Editor');
  await editor.shows('nothing is lost', `${AFTER}# typed while nobody served\n`);
}

/** Marks are right again soon after a key, also where there are many lines. */
async function typeInALargeFile() {
  await editor.file('values.py');
  const offered = editor.lens('Accept change from Number them');
  await editor.click(editor.button('Next Change'), () => offered.isVisible());
  await editor.focus();
  await editor.page.keyboard.press('Home');
  await editor.page.keyboard.type('#');
  const line = await editor.until(
    'the marks are right again',
    () => editor.logged(/marks of .*values\.py are right (.*) ms/),
    (found) => found !== undefined,
  );
  await editor.shot('large-file');
  await editor.page.keyboard.press('Control+z');
  await editor.lens('Accept change from Number them').waitFor();
  await editor.page.keyboard.press('Control+Alt+Enter');
  await editor.until(
    'it has landed',
    () => editor.text(),
    (lines) => lines.includes('value_5000 = numbered'),
  );
  editor.say(`figure: marks right after a key in 10,000 lines: ${line} ms`);
  editor.say(`figure: activation: ${await editor.logged(/activated in (.*) ms/)} ms`);
  editor.say(`figure: goal accepted: ${await editor.logged(/goal accepted in (.*) ms/)} ms`);
  await editor.command('File: Save All Files');
  for (const name of ['greet.py', 'parse.py', 'values.py']) {
    await editor.until(
      `${name} is saved`,
      () => editor.isDirty(name),
      (dirty) => !dirty,
    );
  }
}
