// The user of tests/it/vscode.rs who types into a file that a task deletes: the file goes with what was never
// saved, once that is chosen, and an undo brings both back. Arguments: the workspace, a folder for this run, a
// folder for pictures.

import { existsSync } from 'node:fs';
import path from 'node:path';

import { open, run, workspace } from './browser.mjs';

const TYPED = '# never saved\nOLD = 1\n';

const file = path.join(workspace, 'old.py');
const editor = await open();
await run(editor, async () => {
  await editor.file('old.py');
  await editor.goal('remove what is old');
  await editor.command('ClaudeCluster: Focus on Goals View');
  await editor.hasRow('Remove it running');
  await editor.file('old.py');
  await editor.focus();
  await editor.page.keyboard.press('Control+Home');
  await editor.page.keyboard.type('# never saved\n');
  await editor.shows('what is typed', TYPED);
  editor.say('release typed');
  await editor.lens('Theirs').waitFor();
  await editor.command('Notifications: Clear All Notifications');
  await editor.shot('typed');

  const gone = async () => !(await editor.tab('old.py').isVisible());
  await editor.click(editor.lens('Theirs'), gone);
  await editor.until(
    'the file has gone',
    () => existsSync(file),
    (there) => !there,
  );
  await editor.noRow('delete the file');
  await editor.shot('gone');

  const decided = editor.row('resolved · ');
  await editor.click(editor.row('History'), () => decided.isVisible());
  await editor.press(decided, 'Undo This Decision', () => existsSync(file));
  await editor.hasRow('delete the file');
  await editor.file('old.py');
  await editor.shows('what was never saved is there', TYPED);
  await editor.shot('back');
});
