// The user of tests/it/vscode.rs who has a problem fixed, and looks at the plan before it runs.
// Arguments: the workspace, a folder for this run, a folder for pictures.

import { open, run } from './browser.mjs';

const editor = await open();
await run(editor, async () => {
  await editor.command('ClaudeCluster: Focus on Goals View');

  // A problem that the editor's own service for JSON has found.
  await editor.file('data.json');
  await editor.page.locator('.squiggly-error').first().waitFor();
  await editor.focus();
  await editor.page.keyboard.press('Control+Home');
  await editor.page.keyboard.press('ArrowDown');
  await editor.page.keyboard.press('End');
  await editor.command('ClaudeCluster: Fix with ClaudeCluster…');
  await editor.choose('Fix with ClaudeCluster: Colon expected');
  await editor.message('plan').waitFor();

  // The plan is a document: what is written in it runs, saved or not.
  await editor.command('ClaudeCluster: Edit Plan');
  await editor.tab('g1.plan.json').waitFor();
  await editor.lens('Approve').waitFor();
  await editor.focus();
  await editor.page.keyboard.press('Control+Home');
  for (let line = 0; line < 4; line += 1) {
    await editor.page.keyboard.press('ArrowDown');
  }
  const offered = editor.page.locator('.action-widget .monaco-list-row', {
    hasText: 'Pause before',
  });
  await editor.again(
    'the task is paused in the text',
    async (options) => {
      await editor.page.keyboard.press('Control+.');
      await offered.first().click(options);
    },
    async () => (await editor.text()).some((line) => line.includes('"pause": true')),
  );
  await editor.shot('plan');
  await editor.click(editor.lens('Approve'));
  await editor.lens('Start mend').waitFor();
  await editor.hasRow('Mend the file waiting for you');
  await editor.shot('paused');
  await editor.click(editor.lens('Start mend'));

  await editor.file('data.json');
  await editor.click(editor.lens('Accept change from Mend the file'));
  await editor.shows('the problem is gone', '{\n  "a": 1\n}\n');
  await editor.shot('mended');
});
