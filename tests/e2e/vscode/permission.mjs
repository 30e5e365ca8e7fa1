// The user of tests/it/vscode.rs whom workers ask: two tasks want to use the same tool, and are answered once.
// Arguments: the workspace, a folder for this run, a folder for pictures.

import { open, run } from './browser.mjs';

const editor = await open();
await run(editor, async () => {
  await editor.file('README.md');
  await editor.goal('look it up');
  await editor.command('ClaudeCluster: Focus on Goals View');
  // One question of both, until somebody answers it.
  const asks = /^Allow WebFetch\? http:\/\/127\.0\.0\.1:9\/docs · (one, two|two, one)$/;
  await editor.until(
    'both ask',
    () => editor.rows(),
    (rows) => rows.some((row) => asks.test(row)),
  );
  await editor.shot('asked');
  const allow = editor.choice('Allow for This Goal');
  await editor.click(editor.row('Allow WebFetch?'), () => allow.isVisible());
  await editor.choose('Allow for This Goal');
  await editor.noRow('Allow WebFetch?');
  await editor.message('g1 (look it up) proposes changes').waitFor();
  await editor.hasRow('One done');
  await editor.shot('answered');
});
