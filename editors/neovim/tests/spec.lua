-- Runs in a headless Neovim, started by server/lsp/tests/neovim.rs with the plugin on the runtime
-- path. Arguments: the server's socket and the workspace. Fails by exiting with an error.

local socket, workspace = arg[1], arg[2]

local function check(condition, message)
  if not condition then
    error(message .. '\nmessages:\n' .. vim.inspect(_G.messages) .. '\nbuffer:\n'
      .. table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n'), 2)
  end
end

local function eventually(what, condition)
  check(vim.wait(20000, condition, 5), 'never happened: ' .. what)
end

local function text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
end

_G.messages = {}
vim.notify = function(message)
  table.insert(_G.messages, message)
end
local function told(part)
  return vim.iter(_G.messages):any(function(message)
    return message:find(part, 1, true) ~= nil
  end)
end

vim.lsp.handlers['window/showMessage'] = function(_, params)
  table.insert(_G.messages, params.message)
end

local progress = {}
vim.api.nvim_create_autocmd('LspProgress', {
  callback = function(event)
    table.insert(progress, event.data.params.value)
  end,
})

vim.cmd.runtime('plugin/claudecluster.lua')

-- Before there is a server, a command says what to do.
vim.cmd('ClaudeCluster goals')
check(told("vim.lsp.enable('claudecluster')"), 'a missing server is explained')
vim.cmd('ClaudeCluster nonsense')
check(told('there is no "nonsense"'), 'an unknown subcommand is explained')
check(
  vim.deep_equal(vim.fn.getcompletion('ClaudeCluster go', 'cmdline'), { 'goal', 'goals' }),
  'subcommands are completed'
)

-- A script is one undo step; keys that a user presses in between end it.
local function press_a_key()
  vim.bo.undolevels = vim.bo.undolevels
end

-- Attach, with what the plugin ships and nothing else.
vim.lsp.config('claudecluster', {
  cmd = vim.lsp.rpc.connect(socket),
  settings = { claudecluster = { jobs = 2, budgetUsd = 5, gates = 'no list' } },
})
vim.lsp.enable('claudecluster')
vim.cmd.edit(workspace .. '/a.rs')
eventually('attached', function()
  local client = vim.lsp.get_clients({ bufnr = 0, name = 'claudecluster' })[1]
  return client ~= nil and client.initialized
end)
local client = vim.lsp.get_clients({ bufnr = 0, name = 'claudecluster' })[1]
check(client.root_dir == workspace, 'the folder with .git is the workspace')
check(client.offset_encoding == 'utf-8', 'the first encoding it offers')

eventually('a wrong setting is named', function()
  return told('claudecluster.gates: ')
end)

-- A goal for a range, with text that is in no file.
vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// typed 😀, not saved' })
vim.cmd('3,4ClaudeCluster goal rename things')
eventually('the goal is submitted', function()
  return told('goal g1 submitted')
end)
eventually('progress begins', function()
  return #progress > 0
end)
vim.cmd('ClaudeCluster approve g1')
eventually('the proposal is announced', function()
  return told('g1 proposes changes to 1 file')
end)
check(told('g1 is planned: 2 tasks'), 'the plan is announced')
check(
  vim.deep_equal(vim.fn.getcompletion('ClaudeCluster cancel g', 'cmdline'), { 'g1' }),
  'goals are completed'
)
eventually('progress ends', function()
  return #progress > 0 and progress[#progress].kind == 'end'
end)
check(progress[1].kind == 'begin', 'progress begins')
check(progress[#progress].message == '2 changes proposed in 1 file', 'progress tells the outcome')

-- An accept from the menu of code actions, into a buffer with unsaved text: one undo step.
local titles, chosen = {}, 'Accept change from Rename things'
vim.ui.select = function(items, _, choose)
  for _, item in ipairs(items) do
    table.insert(titles, item.action.title)
  end
  for _, item in ipairs(items) do
    if item.action.title == chosen then
      return choose(item)
    end
  end
  choose(nil)
end
local before = text()
press_a_key()
vim.api.nvim_win_set_cursor(0, { 3, 0 })
vim.lsp.buf.code_action()
eventually('the first change is in the buffer', function()
  return text():find('let new_one', 1, true) ~= nil
end)
check(vim.list_contains(titles, 'Reject change from Rename things'), 'reject is offered')
check(vim.list_contains(titles, 'Accept all changes of goal g1'), 'accept all is offered')
check(vim.list_contains(titles, 'State a goal for this line…'), 'a goal is offered')
local after = text()
check(after == before:gsub('old_one', 'new_one', 1), 'nothing else has changed')
vim.cmd.undo()
check(text() == before, 'one undo takes the accept back, and nothing more')
vim.cmd.redo()
check(text() == after, 'redo brings it again')

-- An accept by the command: the server makes the edit, as an undo step of its own even while
-- somebody types.
vim.api.nvim_buf_set_lines(0, -1, -1, false, { '// being typed' })
after = text()
vim.api.nvim_win_set_cursor(0, { 4, 0 })
vim.cmd('ClaudeCluster accept')
eventually('the second change is in the buffer', function()
  return text():find('let new_two', 1, true) ~= nil
end)
vim.cmd.undo()
check(text() == after, 'one undo takes it back')
vim.cmd.redo()
check(vim.bo.modified, 'nothing was saved')

-- Typing while an edit is on its way. The first change is sent at once, the second held back; the
-- edit of the server arrives in between, for a text that is gone.
vim.cmd('ClaudeCluster retry g1')
vim.wait(30)
vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// kept one' })
vim.api.nvim_buf_set_lines(0, 0, 0, false, { '// kept two' })
eventually('the server has looked at its edit', function()
  return told('looked')
end)
check(vim.startswith(text(), '// kept two\n// kept one\n// typed 😀'), 'what was typed is there')

-- Lists.
vim.cmd('ClaudeCluster goals')
eventually('goals are listed', function()
  return told('make it better')
end)

-- Files that are in no buffer: one by name, one from the menu of any place.
-- The accept of before may still be on its way into the list of what is decided.
local function completed()
  return vim.fn.getcompletion('ClaudeCluster accept g1 ', 'cmdline')
end
for _ = 1, 200 do
  if #completed() == 2 then
    break
  end
  vim.wait(50)
end
check(
  vim.deep_equal(completed(), { [[new\ one.rs]], 'unwanted.rs' }),
  'files are completed, not ' .. vim.inspect(completed())
)
vim.cmd([[ClaudeCluster accept g1 new\ one.rs]])
eventually('the file is there', function()
  return vim.fn.filereadable(workspace .. '/new one.rs') == 1
end)
eventually('it is no longer pending', function()
  return #vim.fn.getcompletion('ClaudeCluster accept g1 ', 'cmdline') == 1
end)
chosen = 'Reject new file unwanted.rs from Rename things'
vim.lsp.buf.code_action()
eventually('nothing of the goal is left', function()
  return #vim.fn.getcompletion('ClaudeCluster accept g1 ', 'cmdline') == 0
end)
check(vim.fn.filereadable(workspace .. '/unwanted.rs') == 0, 'what is rejected is not there')
vim.cmd('ClaudeCluster changes')
eventually('nothing is pending any more', function()
  return told('nothing is pending')
end)
vim.cmd('ClaudeCluster cancel g7')
eventually('an error of the server is shown', function()
  return told('there is no goal g7')
end)
vim.cmd('ClaudeCluster show g1')
eventually('the goal is shown', function()
  return vim.bo.filetype == 'markdown'
end)
check(text():find('# g1: proposed', 1, true), 'with its state')
vim.cmd.close()

-- Settings change while the server runs.
client.settings = { claudecluster = { jobs = 3, scope = 'workspace' } }
client:notify('workspace/didChangeConfiguration', { settings = client.settings })

-- The words of a goal are asked for.
vim.ui.input = function(_, done)
  done('asked for')
end
vim.cmd('ClaudeCluster goal')
eventually('the second goal is submitted', function()
  return told('goal g2 submitted')
end)

client:stop()
eventually('the server has gone', function()
  return client.rpc.is_closing()
end)
