-- The user of tests/it/neovim/goal.rs: a headless Neovim with the plugin on its runtime path and
-- `claudecluster` on PATH. Argument: the workspace. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local user = require('inside')
local check, eventually, told = user.check, user.eventually, user.told

local workspace = arg[1]

local function text(name)
  return user.text(vim.fn.bufnr(workspace .. '/' .. name))
end

local reports = {}
vim.api.nvim_create_autocmd('LspProgress', {
  callback = function(event)
    table.insert(reports, event.data.params.value)
  end,
})

user.enable()
for _, name in ipairs({ 'show.py', 'parse.py', 'greet.py' }) do
  user.open(workspace .. '/' .. name)
end

-- Text that is in no file, then a goal about two lines of it.
vim.api.nvim_buf_set_lines(0, 0, 0, false, { '# typed 😀, in no file' })
vim.cmd('2,3ClaudeCluster goal make it nicer')
eventually('the goal is submitted', function()
  return told('started g1')
end)
-- Typing goes on while three sessions work.
vim.api.nvim_buf_set_lines(0, -1, -1, false, { '# typed later' })
eventually('the plan is announced', function()
  return told('planned g1: 3 tasks')
end)
eventually('the proposal is announced', function()
  return told('g1 proposes changes to 4 files')
end)
eventually('progress ends', function()
  return #reports > 0 and reports[#reports].kind == 'end'
end)
check(reports[1].kind == 'begin', 'progress has begun')
check(vim.bo.modified, 'nothing was saved')

-- An accept from the menu of code actions.
local function act(line, title)
  vim.api.nvim_win_set_cursor(0, { line, 0 })
  user.act(title)
end

local before = text('greet.py')
act(3, 'Accept change from Greet politely')
eventually('the change is in the buffer', function()
  return text('greet.py'):find('good day', 1, true) ~= nil
end)
check(vim.list_contains(user.titles, 'Reject change from Greet politely'), 'both are offered')
check(vim.list_contains(user.titles, 'Accept all changes of goal g1'), 'both are offered')
local after = text('greet.py')
check(after == before:gsub('hello', 'good day', 1), 'exactly the hunk has changed')
vim.cmd.undo()
check(text('greet.py') == before, 'one undo takes the accept back and nothing else')
vim.cmd.redo()
check(text('greet.py') == after, 'redo brings it again')

-- A reject, which leaves the buffer alone.
vim.cmd.buffer(vim.fn.bufnr(workspace .. '/show.py'))
local shown = text('show.py')
act(2, 'Reject change from Show lines')
local function pending()
  local found = {}
  for _, hunk in ipairs(user.pending()) do
    found[hunk.path] = (found[hunk.path] or 0) + 1
  end
  return found
end
eventually('the hunk is gone', function()
  return pending()['show.py'] == nil
end)
check(text('show.py') == shown, 'the buffer is as it was')

-- The rest: what is in scope lands in its buffer, what is not stays apart.
vim.cmd('ClaudeCluster accept g1')
eventually('the rest has landed', function()
  return text('parse.py'):find('f.strip()', 1, true) ~= nil
end)
eventually('what is out of scope is left', function()
  local left = pending()
  return left['parse.py'] == nil and left['NOTES.md'] == 1
end)
check(vim.uv.fs_stat(workspace .. '/NOTES.md') == nil, 'no file out of scope was made')

vim.cmd('ClaudeCluster changes')
eventually('the list says why it is kept apart', function()
  local items = vim.fn.getqflist()
  return #items == 1 and items[1].text:find("[outside the goal's scope]", 1, true) ~= nil
end)
vim.cmd.cclose()
vim.cmd.wall()
user.stop()
