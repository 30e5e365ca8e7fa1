-- One goal with everything known about it, in a buffer that is kept up.

local client = require('claudecluster.client')
local goals = require('claudecluster.goals')
local text = require('claudecluster.text')

local M = {}

---@type table<string, integer> the buffers, by goal
local buffers = {}
local watching = false

---@param out string[]
---@param task claudecluster.Task
local function add_task(out, task)
  local after = #task.dependsOn > 0 and ' (after ' .. table.concat(task.dependsOn, ', ') .. ')'
    or ''
  table.insert(out, ('- [%s] %s: %s%s'):format(task.state, task.id, task.title, after))
  for _, path in ipairs(task.changed) do
    table.insert(out, '  - ' .. path)
  end
  local last = task.attempts[#task.attempts]
  if last then
    local took = text.duration((last.endedAt or text.now()) - last.startedAt)
    local said = last.summary ~= '' and ': ' .. last.summary:gsub('\n', ' ') or ''
    local stopped = last.stop and ', ' .. text.state(last.stop) or ''
    local attempt = '  attempt %d, %s, %s%s%s'
    table.insert(out, attempt:format(last.id, took, text.money(last.usage.costUsd), stopped, said))
  end
end

---@param goal claudecluster.Goal
---@return string[]
function M.describe(goal)
  local out = { ('# %s: %s'):format(goal.id, text.state(goal.state)), '' }
  vim.list_extend(out, vim.split(goal.prompt, '\n'))
  table.insert(out, '')
  local hunks = goal.hunks
  table.insert(
    out,
    ('%d of %d tasks done, %d pending, %s, %s'):format(
      goal.succeeded,
      goal.tasks,
      hunks.pending,
      text.count(hunks.conflicts, 'conflict'),
      text.money(goal.costUsd)
    )
  )
  if goal.error then
    local hint = goal.error.hint and (' (%s)'):format(goal.error.hint) or ''
    vim.list_extend(out, { '', 'Failed: ' .. goal.error.message .. hint })
  end
  table.insert(out, '')
  for _, task in ipairs(goal.tasksDetail or {}) do
    add_task(out, task)
  end
  for index, gate in ipairs(goal.gates or {}) do
    if index == 1 then
      vim.list_extend(out, { '', '## Gates', '' })
    end
    local command = type(gate.command) == 'table' and gate.command.run or gate.command
    table.insert(out, ('- [%s] `%s`'):format(gate.passed and 'passed' or 'failed', command))
  end
  return out
end

---@param buffer integer
---@param goal claudecluster.Goal
local function fill(buffer, goal)
  vim.bo[buffer].modifiable = true
  local lines = vim.tbl_map(text.line, M.describe(goal))
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].modifiable = false
end

local function update()
  for id, buffer in pairs(buffers) do
    local goal = goals.get(id)
    if not vim.api.nvim_buf_is_valid(buffer) then
      buffers[id] = nil
    elseif goal and goal.tasksDetail then
      fill(buffer, goal)
    end
  end
end

---@param id string
---@return integer
local function create(id)
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_name(buffer, 'claudecluster://goal/' .. id)
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].filetype = 'markdown'
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer, desc = 'Close' })
  return buffer
end

---@param id string
---@param mods? table
function M.open(id, mods)
  client.command('claudecluster.goal.show', { goalId = id }, function(goal)
    if not watching then
      watching = true
      goals.watch(update)
    end
    local buffer = buffers[id]
    if not buffer or not vim.api.nvim_buf_is_valid(buffer) then
      buffer = create(id)
      buffers[id] = buffer
    end
    fill(buffer, goal)
    local window = vim.fn.bufwinid(buffer)
    if window > 0 then
      vim.api.nvim_set_current_win(window)
    else
      vim.cmd({ cmd = 'sbuffer', args = { buffer }, mods = mods })
    end
  end)
end

return M
