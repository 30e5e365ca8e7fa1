-- The user of `a_goal_is_reviewed_in_two_editors_and_on_the_disk`: a headless Neovim with one of the
-- goal's files open, who decides with the command line. Arguments: the workspace and the goal.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local user = require('inside')
local check = user.check

local workspace, goal = arg[1], arg[2]

local function text()
  return user.text() .. '\n'
end

user.enable()
user.open(workspace .. '/nvim.txt')

-- The server's answer: what was typed before the question is known to it then.
local function known()
  local wait = require('claudecluster.client').wait
  check(wait('claudecluster/changes', vim.empty_dict(), 20000), 'the server answers')
end

-- The command line in another terminal; this editor goes on meanwhile, as it must to take the edit.
local function run(...)
  known()
  user.press_a_key()
  local ended = user.run({ ... })
  check(ended.code == 0, vim.inspect(ended))
end

local plain = text()
vim.api.nvim_buf_set_lines(0, 0, 0, false, { 'typed first' })
local function with(five, nine)
  local body = plain:gsub('\n5\n', '\n' .. five .. '\n'):gsub('\n9\n', '\n' .. nine .. '\n')
  return 'typed first\n' .. body
end

run('accept', goal)
check(text() == with('five', 'nine'), 'the goal has landed around what was typed')
check(vim.bo.modified, 'nothing was saved')
run('undo', goal, '--task', 'nvim')
check(text() == with('5', '9'), 'what was typed is kept')
run('redo', goal, '--task', 'nvim')
check(text() == with('five', 'nine'), 'and it lands again')
-- One landing is one undo step here, too.
vim.cmd.undo()
check(text() == with('5', '9'), 'the editor takes exactly the landing back')
vim.cmd.redo()
check(text() == with('five', 'nine'), 'and brings it again')
run('undo', goal)
run('redo', goal)
vim.api.nvim_buf_set_lines(0, -1, -1, false, { 'typed last' })
check(text() == with('five', 'nine') .. 'typed last\n', 'everything typed is in its place')
known()

vim.cmd.wall()
user.stop()
