// The user of tests/it/vscode.rs whom a program of a task asks for a host of the network, and who allows it for
// always. Arguments: the workspace, a folder for this run, a folder for pictures.

import { open, run } from './browser.mjs';

const editor = await open();
await run(editor, async () => {
  await editor.file('README.md');
  await editor.goal('reach it');
  await editor.command('ClaudeCluster: Focus on Goals View');
  // Which host and port, who says to ask for it, and for which task.
  const asks = /^Allow Network\? host\.example:443 — tool\/1 · reach$/;
  await editor.until(
    'it asks',
    () => editor.rows(),
    (rows) => rows.some((row) => asks.test(row)),
  );
  await editor.command('Notifications: Show Notifications');
  await editor.listed('task reach requests to reach this host').waitFor();
  await editor.shot('asked');
  const always = editor.choice('Always Allow This Host');
  await editor.click(editor.row('Allow Network?'), () => always.isVisible());
  for (const answer of ['Allow Once', 'Allow for This Task', 'Allow for This Goal', 'Deny']) {
    await editor.choice(answer).waitFor();
  }
  await editor.page.keyboard.press('Escape');
  await editor.answer('task reach requests to reach this host', 'Always');
  await editor.noRow('Allow Network?');
  await editor.listed('g1 (reach it) proposes changes').waitFor();
  await editor.shot('answered');
});
