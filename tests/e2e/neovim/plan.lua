-- The user of tests/it/goal/plan_document.rs: opens the plan of goal g1 in a headless Neovim with the plugin on its
-- runtime path and `claudecluster` on PATH, breaks it, corrects it, changes it and approves it. Argument: the
-- workspace. Fails by exiting with an error.

local workspace = arg[1]

local titles = {}
local function check(condition, message)
  if not condition then
    error(
      ('%s\nactions: %s\ndiagnostics: %s\n%s'):format(
        message,
        vim.inspect(titles),
        vim.inspect(vim.diagnostic.get(0)),
        table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
      ),
      2
    )
  end
end

local function eventually(what, condition)
  check(vim.wait(60000, condition, 10), 'never happened: ' .. what)
end

local function attached()
  local client = vim.lsp.get_clients({ bufnr = 0, name = 'claudecluster' })[1]
  return client ~= nil and client.initialized
end

local function keys(typed)
  vim.api.nvim_feedkeys(vim.keycode(typed), 'xt', false)
end

---@param severity vim.diagnostic.Severity
local function codes(severity)
  local found = {}
  for _, one in ipairs(vim.diagnostic.get(0, { severity = severity })) do
    table.insert(found, one.code)
  end
  return found
end

local wanted
vim.ui.select = function(items, _, choose)
  local chosen
  for _, item in ipairs(items) do
    table.insert(titles, item.action.title)
    if item.action.title == wanted then
      chosen = item
    end
  end
  choose(chosen)
end
local function act(pattern, title)
  titles, wanted = {}, title
  check(vim.fn.search(pattern, 'cw') > 0, pattern .. ' is there')
  vim.lsp.buf.code_action()
end

if vim.lsp.enable then
  vim.lsp.enable('claudecluster')
else
  require('claudecluster').setup()
end
vim.cmd.edit(workspace .. '/base.txt')
eventually('the server is attached', attached)
local server = vim.lsp.get_clients({ bufnr = 0 })[1]

-- The document comes to whoever asks for it, and the server with it.
local open = { command = 'claudecluster.plan.open', arguments = { { goalId = 'g1' } } }
server:exec_cmd(open, { bufnr = 0 })
eventually('the plan is shown', function()
  return vim.api.nvim_buf_get_name(0):match('/state/plans/g1%.plan%.json$') ~= nil
end)
eventually('the server is attached to the plan', attached)
check(#vim.lsp.get_clients({ name = 'claudecluster' }) == 1, 'it is the same server')

-- A cycle, typed key by key.
check(vim.fn.search('"id": "first"', 'cw') > 0, 'the plan is open')
keys('o"dependsOn": ["second"],<Esc>')
eventually('the cycle is told at each of its edges', function()
  return vim.deep_equal(codes(vim.diagnostic.severity.ERROR), { 'cycle', 'cycle' })
end)
local told = vim.diagnostic.get(0, { severity = vim.diagnostic.severity.ERROR })[1]
check(told.source == 'claudecluster', 'it says who tells it')
local line = vim.api.nvim_buf_get_lines(0, told.lnum, told.lnum + 1, false)[1]
check(line:sub(told.col + 1, told.end_col) == '"second"', 'exactly the edge is marked')

-- One of the edges goes.
act('"dependsOn": \\["second', 'Do not let first wait for second')
eventually('the edge is gone', function()
  return #codes(vim.diagnostic.severity.ERROR) == 0
end)
check(vim.list_contains(titles, 'Pause before first'), 'the task can be changed, too')

-- Another edit, which is saved nowhere, and its approval.
vim.cmd([[%substitute/two\.txt/three.txt/]])
act('"id"', 'Approve this plan')
eventually('the goal runs', function()
  local show = { command = 'claudecluster.goal.show', arguments = { { goalId = 'g1' } } }
  local goal = require('claudecluster.client').wait('workspace/executeCommand', show, 10000)
  return goal.state ~= 'awaitingApproval'
end)
check(vim.bo.modified, 'nothing was saved')
server:stop()
vim.wait(2000, function()
  return #vim.lsp.get_clients({ name = 'claudecluster' }) == 0
end)
