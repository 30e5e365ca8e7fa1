-- The user of tests/it/goal/from_position.rs: a headless Neovim with the plugin on its runtime path and
-- `claudecluster` on PATH, who has a problem that something else reports. Argument: the workspace. Fails by exiting
-- with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local user = require('inside')
local check, eventually, told, text = user.check, user.eventually, user.told, user.text

local workspace = arg[1]

local function act(line, title, meanwhile)
  vim.api.nvim_win_set_cursor(0, { line, 0 })
  user.act(title, meanwhile)
end

user.enable()
user.open(workspace .. '/greet.py')

-- What some checker, which is no language server, has to say.
local checker = vim.api.nvim_create_namespace('a checker')
local function problem(lnum, message)
  return {
    lnum = lnum,
    col = 4,
    end_col = 10,
    severity = vim.diagnostic.severity.ERROR,
    source = 'checker',
    code = 'E999',
    message = message,
  }
end
vim.diagnostic.set(checker, 0, {
  problem(1, 'no such word:\n`retrun` \u{202e}'),
  problem(5, 'no such word:\n`pirnt`'),
})

-- While the menu is open, something else changes the text above.
local title = 'Fix with ClaudeCluster: no such word: `retrun`'
act(2, title, function()
  vim.api.nvim_buf_set_lines(0, 0, 0, false, { '# new' })
end)
eventually('the goal is under way', function()
  return told('planned g1: 1 task')
end)
check(
  vim.list_contains(
    user.titles,
    'Fix all 2 like this in this file with ClaudeCluster: no such word: `retrun`'
  ),
  'those on other lines are counted'
)
eventually('the proposal is announced', function()
  return told('g1 proposes changes to 1 file')
end)

-- The checker has looked again and still finds the same, a line further down.
vim.diagnostic.set(checker, 0, {
  problem(2, 'no such word:\n`retrun` \u{202e}'),
  problem(6, 'no such word:\n`pirnt`'),
})
act(3, title)
eventually('the user is asked', function()
  return #user.questions == 1
end)
check(user.questions[1]:find('g1 already has this goal', 1, true), 'the question names the goal')

local undone = text()
act(3, 'Accept change from Spell it right')
eventually('the change is in the buffer', function()
  return text():find("    return 'hello '", 1, true) ~= nil
end)
check(text() == undone:gsub('retrun', 'return'), 'nothing else has changed')

local list = { command = 'claudecluster.goal.list', arguments = { vim.empty_dict() } }
local goals = require('claudecluster.client').wait('workspace/executeCommand', list, 10000)
check(#goals == 1, 'nothing was started twice')
vim.cmd.wall()
user.stop()
