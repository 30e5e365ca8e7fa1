// The user of tests/it/vscode.rs who types where tasks write: conflicts are seen in the text and in the view, and
// resolved in each way that is offered. Arguments: the workspace, a folder for this run, a folder for pictures.

import assert from 'node:assert/strict';

import { open, run } from './browser.mjs';

// One task after the other, so that it is certain whose text stands.
const settings = { 'claudecluster.jobs': 1 };
const editor = await open(settings);
await run(editor, async () => {
  await typeWhereTasksWrite();
  await mineFromALens();
  await theirsFromThePalette();
  await mergedFromTheView();
  await bothWithTheKeyOfAccepting();
  await markers();
  await repair();
  await aFileThatGoes();
  await twoTasks();
});

/** Gives a name another one, wherever it is in the file. */
async function rename(file, line, column, name) {
  await editor.file(file);
  await editor.goTo(line, column);
  await editor.page.keyboard.press('Control+F2');
  await editor.page.keyboard.type(name);
  await editor.page.keyboard.press('Escape');
}

async function typeWhereTasksWrite() {
  for (const name of ['old.py', 'shared.py', 'alone.py', 'paint.py']) {
    await editor.file(name);
  }
  await editor.goal('paint it blue');
  await editor.command('ClaudeCluster: Focus on Goals View');
  await editor.hasRow('Paint it blue running');
  await rename('old.py', 1, 1, 'NEW');
  await rename('alone.py', 2, 14, 'green');
  await rename('paint.py', 10, 12, 'blend');
  await rename('paint.py', 2, 14, 'green');
  editor.say('release typed');
  await editor.message('g1 (paint it blue) proposes changes').waitFor();
  await editor.lens('Conflict between you and Paint it blue').first().waitFor();
  await editor.command('Notifications: Clear All Notifications');
  await editor.hasRow("~ return mix(a, b, 'blue') line 10 · conflict");
  await editor.shot('conflicts');
}

/** Waits until the file in front has a line. */
async function has(text) {
  await editor.until(
    `there is a line ${text}`,
    () => editor.text(),
    (lines) => lines.includes(text),
  );
}

/** Opens the menu for the conflict in a line. */
async function resolve(line) {
  await editor.goTo(line, 5);
  await editor.command('ClaudeCluster: Resolve Conflict…');
  await editor.choice('Theirs').waitFor();
}

/** What leaves no trace in the text is taken back where it is listed. */
async function mineFromALens() {
  await editor.file('alone.py');
  await editor.click(editor.lens('Mine'));
  await editor.noRow('alone.py 1');
  await has("    return 'green'");
  const landings = editor.row('History');
  const decided = editor.row('resolved · ');
  await editor.click(landings, () => decided.isVisible());
  await editor.press(decided, 'Undo This Decision', () =>
    editor.sees('alone.py 1 · 1 in conflict'),
  );
  await editor.lens('Mine').waitFor();
  await editor.shot('mine-undone');
  await editor.click(landings, async () => !(await editor.sees('alone.py undone')));
}

async function theirsFromThePalette() {
  await editor.file('paint.py');
  await resolve(2);
  await editor.picture('menu');
  await editor.choose('Theirs');
  await has("    return 'blue'  # first");
  await editor.noRow("~ return 'blue'  # first");
  await editor.focus();
  await editor.page.keyboard.press('Control+z');
  await has("    return 'green'  # first");
  await editor.hasRow("~ return 'blue'  # first line 2 · conflict");
  await editor.page.keyboard.press('Control+y');
  await has("    return 'blue'  # first");
  await editor.noRow("~ return 'blue'  # first");
}

async function mergedFromTheView() {
  const conflict = editor.row("~ return mix(a, b, 'blue')");
  const merged = editor.choice('Merged');
  await editor.press(conflict, 'Resolve Conflict', () => merged.isVisible());
  await editor.picture('menu-merged');
  await editor.choose('Merged');
  await has("    return blend(a, b, 'blue')");
  await editor.noRow("~ return mix(a, b, 'blue')");
}

async function bothWithTheKeyOfAccepting() {
  await editor.goTo(6, 5);
  await editor.again(
    'accepting a conflict asks what is to become of it',
    () => editor.page.keyboard.press('Control+Alt+Enter'),
    () => editor.choice('Both').isVisible(),
  );
  await editor.choose('Both');
  await has("    return 'blue'  # second");
  await has("    return 'green'  # second");
}

async function markers() {
  await resolve(15);
  await editor.choose('Conflict Markers');
  await has("    return 'green'  # third");
  await has('<<<<<<< current text');
  await editor.shot('markers');
}

async function repair() {
  await resolve(23);
  await editor.choose('Request a Repair');
  await editor.type('mix both');
  await editor.page.keyboard.press('Enter');
  await editor.lens('Accept change from').waitFor();
  await editor.shot('repaired');
  await editor.click(editor.lens('Accept change from'));
  await has("    return 'turquoise'  # fourth");
}

/** It goes or it stays: there is nothing between. */
async function aFileThatGoes() {
  await editor.file('old.py');
  await editor.lens('Theirs').waitFor();
  await editor.shot('file-goes');
  await resolve(1);
  await editor.choice('keep the file as it is').waitFor();
  assert.equal(await editor.choice('Both').count(), 0);
  await editor.picture('menu-of-a-file');
  await editor.choose('Mine');
  await editor.noRow('delete the file');
  await editor.shows('it is still there', 'NEW = 1\n');
}

/** Both are above their line, one after the other. */
async function twoTasks() {
  await editor.file('shared.py');
  await editor.lens('Conflict between To the left and To the right').waitFor();
  const each = /Accept.*Reject.*Diff.*Conflict.*Mine.*Theirs.*Both/;
  await editor.until(
    'what can be done with one is not among what can be done with the other',
    () => editor.page.locator('.codelens-decoration').first().textContent(),
    (lenses) => each.test(lenses),
  );
  await editor.shot('two-tasks');
  await editor.press(editor.row("~ return 'right'"), 'Resolve Conflict', () =>
    editor.choice('Theirs').isVisible(),
  );
  await editor.picture('menu-of-two-tasks');
  await editor.choose('Theirs');
  await has("    return 'right'");
  await editor.noRow("~ return 'right'");
  await editor.shot('two-tasks-resolved');
}
