-- The user of tests/it/goal/plan_document.rs: opens the plan of goal g1 in a headless Neovim with the plugin on its
-- runtime path and `claudecluster` on PATH, breaks it, corrects it, changes it and approves it. Argument: the
-- workspace. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local user = require('inside')
local check, eventually = user.check, user.eventually

local workspace = arg[1]

---@param severity vim.diagnostic.Severity
local function codes(severity)
  local found = {}
  for _, one in ipairs(vim.diagnostic.get(0, { severity = severity })) do
    table.insert(found, one.code)
  end
  return found
end

local function act(pattern, title)
  check(vim.fn.search(pattern, 'cw') > 0, pattern .. ' is there')
  user.act(title)
end

user.enable()
local server = user.open(workspace .. '/base.txt')

-- The document comes to whoever asks for it, and the server with it.
local open = { command = 'claudecluster.plan.open', arguments = { { goalId = 'g1' } } }
server:exec_cmd(open, { bufnr = 0 })
eventually('the plan is shown', function()
  return vim.api.nvim_buf_get_name(0):match('/state/plans/g1%.plan%.json$') ~= nil
end)
check(user.attached().id == server.id, 'the plan has the same server')
check(#vim.lsp.get_clients({ name = 'claudecluster' }) == 1, 'it is the same server')

-- A cycle, typed key by key.
check(vim.fn.search('"id": "first"', 'cw') > 0, 'the plan is open')
user.press('o"dependsOn": ["second"],<Esc>')
eventually('the cycle is told at each of its edges', function()
  return vim.deep_equal(codes(vim.diagnostic.severity.ERROR), { 'cycle', 'cycle' })
end)
local told = vim.diagnostic.get(0, { severity = vim.diagnostic.severity.ERROR })[1]
check(told.source == 'claudecluster', 'it says who tells it')
local line = vim.api.nvim_buf_get_lines(0, told.lnum, told.lnum + 1, false)[1]
check(line:sub(told.col + 1, told.end_col) == '"second"', 'exactly the edge is marked')

-- One of the edges goes.
act('"dependsOn": \\["second', 'Remove the dependency of first on second')
eventually('the edge is gone', function()
  return #codes(vim.diagnostic.severity.ERROR) == 0
end)
check(vim.list_contains(user.titles, 'Pause before first'), 'the task can be changed, too')

-- Another edit, which is saved nowhere, and its approval.
vim.cmd([[%substitute/two\.txt/three.txt/]])
act('"id"', 'Approve this plan')
eventually('the goal runs', function()
  local show = { command = 'claudecluster.goal.show', arguments = { { goalId = 'g1' } } }
  local goal = require('claudecluster.client').wait('workspace/executeCommand', show, 10000)
  return goal.state ~= 'awaitingApproval'
end)
check(vim.bo.modified, 'nothing was saved')
user.stop()
