// The user of tests/vscode.rs: a goal from the palette to accepted changes. Arguments: the workspace, a
// folder for this run, a folder for pictures. Fails by ending with an error.

import assert from 'node:assert/strict';

import { open } from './browser.mjs';

const [workspace, scratch, shots] = process.argv.slice(2);
const editor = await open({ workspace, scratch, shots });
try {
  await story();
} catch (error) {
  await editor.shot('failed');
  throw error;
} finally {
  await editor.close();
}

async function story() {
  const { page } = editor;
  await editor.trust();
  await editor.ready();
  for (const name of ['show.py', 'parse.py', 'greet.py']) {
    await editor.file(name);
  }
  // Text that is in no file, then a goal from the palette.
  await page.keyboard.press('Control+Home');
  await page.keyboard.type('# typed, in no file\n');
  assert.ok(await editor.isDirty('greet.py'));
  await editor.command('ClaudeCluster: New Goal');
  await editor.type('make it nicer');
  await editor.choose('state this goal');
  await editor.command('ClaudeCluster: Focus on Goals View');
  await editor.until(
    'tasks are in the view',
    () => editor.rows(),
    (rows) => ['Greet politely', 'Strip fields', 'Show lines'].every((title) => rows.some((row) => row.includes(title))),
  );
  await editor.shot('running');
  await editor.message('g1 (make it nicer) proposes changes').waitFor();
  await editor.lens('Accept change from Greet politely').waitFor();
  await editor.shot('proposed');
  await editor.lens('Accept change from Greet politely').click();
  await editor.until('the change is in the text', () => editor.text(), (lines) => lines.includes("    return 'good day ' + name"));
  await editor.shot('accepted');
}
