-- The user of tests/it/goal/from_position.rs: a headless Neovim with the plugin on its runtime path and `claudecluster` on
-- PATH, who has a problem that something else reports. Argument: the workspace. Fails by exiting with an error.

local workspace = arg[1]

local messages = {}
vim.notify = function(message)
  table.insert(messages, message)
end

local titles, questions = {}, {}

local function check(condition, message)
  if not condition then
    local said = vim.inspect({ messages = messages, titles = titles, questions = questions })
    error(message .. '\n' .. said, 2)
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

local wanted, before_choosing
vim.ui.select = function(items, opts, choose)
  if not items[1].action then
    -- A question of the server.
    table.insert(questions, opts.prompt)
    return choose(nil)
  end
  titles = {}
  local chosen
  for _, item in ipairs(items) do
    table.insert(titles, item.action.title)
    if item.action.title == wanted then
      chosen = item
    end
  end
  if before_choosing then
    before_choosing()
    before_choosing = nil
  end
  choose(chosen)
end

local function act(line, title)
  wanted = title
  vim.api.nvim_win_set_cursor(0, { line, 0 })
  vim.lsp.buf.code_action()
end

local function text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
end

if vim.lsp.enable then
  vim.lsp.enable('claudecluster')
else
  require('claudecluster').setup()
end
vim.cmd.edit(workspace .. '/greet.py')
local client
eventually('the server is attached', function()
  client = vim.lsp.get_clients({ bufnr = 0, name = 'claudecluster' })[1]
  return client ~= nil and client.initialized
end)

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
before_choosing = function()
  vim.api.nvim_buf_set_lines(0, 0, 0, false, { '# new' })
end
act(2, title)
eventually('the goal is under way', function()
  return told('g1 is planned: 1 task')
end)
check(
  vim.list_contains(
    titles,
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
  return #questions == 1
end)
check(questions[1]:find('g1 does this already', 1, true), 'the question names the goal')

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
client:stop()
vim.wait(2000, function()
  return #vim.lsp.get_clients({ name = 'claudecluster' }) == 0
end)
