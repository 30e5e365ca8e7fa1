-- The user of tests/it/neovim/goal.rs: a headless Neovim with the plugin on its runtime path and
-- `claudecluster` on PATH. Argument: the workspace. Fails by exiting with an error.

local workspace = arg[1]

local function text(name)
  local buffer = vim.fn.bufnr(workspace .. '/' .. name)
  return table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n')
end

local messages = {}
vim.notify = function(message)
  table.insert(messages, message)
end

local function check(condition, message)
  if not condition then
    local buffers = {}
    for _, name in ipairs({ 'greet.py', 'parse.py', 'show.py' }) do
      table.insert(buffers, '--- ' .. name .. '\n' .. text(name))
    end
    error(
      ('%s\nmessages: %s\nactions: %s\n%s'):format(
        message,
        vim.inspect(messages),
        vim.inspect(_G.titles),
        table.concat(buffers, '\n')
      ),
      2
    )
  end
end

local function eventually(what, condition)
  check(vim.wait(120000, condition, 10), 'never happened: ' .. what)
end

local function told(part)
  return vim.iter(messages):any(function(message)
    return message:find(part, 1, true) ~= nil
  end)
end

local reports = {}
_G.titles = {}
vim.api.nvim_create_autocmd('LspProgress', {
  callback = function(event)
    table.insert(reports, event.data.params.value)
  end,
})

-- A script is one undo step; keys that a user presses in between end it.
local function press_a_key()
  vim.bo.undolevels = vim.bo.undolevels
end

-- Everything a user needs to configure.
if vim.lsp.enable then
  vim.lsp.enable('claudecluster')
else
  require('claudecluster').setup()
end

for _, name in ipairs({ 'show.py', 'parse.py', 'greet.py' }) do
  vim.cmd.edit(workspace .. '/' .. name)
end
eventually('the server is attached', function()
  local client = vim.lsp.get_clients({ bufnr = 0, name = 'claudecluster' })[1]
  return client ~= nil and client.initialized
end)

-- Text that is in no file, then a goal about two lines of it.
vim.api.nvim_buf_set_lines(0, 0, 0, false, { '# typed 😀, in no file' })
vim.cmd('2,3ClaudeCluster goal make it nicer')
eventually('the goal is submitted', function()
  return told('goal g1 submitted')
end)
-- Typing goes on while three sessions work.
vim.api.nvim_buf_set_lines(0, -1, -1, false, { '# typed later' })
eventually('the plan is announced', function()
  return told('g1 is planned: 3 tasks')
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
local wanted
vim.ui.select = function(items, _, choose)
  local chosen
  for _, item in ipairs(items) do
    table.insert(_G.titles, item.action.title)
    if item.action.title == wanted then
      chosen = item
    end
  end
  choose(chosen)
end
local function act(line, title)
  _G.titles, wanted = {}, title
  press_a_key()
  vim.api.nvim_win_set_cursor(0, { line, 0 })
  vim.lsp.buf.code_action()
end

local before = text('greet.py')
act(3, 'Accept change from Greet politely')
eventually('the change is in the buffer', function()
  return text('greet.py'):find('good day', 1, true) ~= nil
end)
check(vim.list_contains(_G.titles, 'Reject change from Greet politely'), 'both are offered')
check(vim.list_contains(_G.titles, 'Accept all changes of goal g1'), 'both are offered')
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
  local wait = require('claudecluster.client').wait
  local found = {}
  for _, document in ipairs(wait('claudecluster/changes', vim.empty_dict(), 10000).documents) do
    found[vim.fs.basename(document.uri)] = #document.hunks
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
vim.lsp.get_clients({ name = 'claudecluster' })[1]:stop()
vim.wait(2000, function()
  return #vim.lsp.get_clients({ name = 'claudecluster' }) == 0
end)
