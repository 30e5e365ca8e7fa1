-- What the keys do in the buffer of goals.

local client = require('claudecluster.client')
local prompt = require('claudecluster.prompt')

local M = {}

---Decides what a row stands for.
---@param verdict 'accept'|'reject'|'undo'|'redo'
---@param row claudecluster.Row
---@param reason? string
local function decide(verdict, row, reason)
  if row.hunk then
    if verdict == 'redo' then
      client.fail('this change is pending; accept it instead')
      return
    end
    local argument = { hunkId = row.hunk.id, reason = reason }
    client.command('claudecluster.hunk.' .. verdict, argument)
    return
  end
  client.command('claudecluster.goal.' .. verdict, {
    goalId = row.goal,
    taskId = row.kind == 'task' and row.task or nil,
    uri = row.kind == 'file' and row.uri or nil,
    reason = reason,
  })
end

---Rows that are in others that are meant as well are left out: a goal has all of its hunks.
---@param rows claudecluster.Row[]
---@return claudecluster.Row[]
local function outermost(rows)
  local found = {}
  ---@type table<string, boolean>
  local whole = {}
  for _, row in ipairs(rows) do
    local goal = row.goal
    local task = goal and row.task and goal .. '/' .. row.task
    local file = task and row.uri and task .. '/' .. row.uri
    local covered = (row.kind ~= 'goal' and whole[goal])
      or (row.kind ~= 'task' and task and whole[task])
      or (row.kind ~= 'file' and file and whole[file])
    if goal and row.kind ~= 'note' and not covered then
      table.insert(found, row)
      local own = row.kind == 'goal' and goal or row.kind == 'task' and task or file
      if row.kind ~= 'hunk' and own then
        whole[own] = true
      end
    end
  end
  return found
end

---@param verdict 'accept'|'reject'|'undo'|'redo'
---@return fun(rows: claudecluster.Row[])
local function verdict_on(verdict)
  return function(rows)
    for _, row in ipairs(outermost(rows)) do
      decide(verdict, row)
    end
  end
end

---@param rows claudecluster.Row[]
local function reject_with_reason(rows)
  prompt.why('Reason for rejecting:', function(reason)
    for _, row in ipairs(outermost(rows)) do
      decide('reject', row, reason)
    end
  end)
end

---@param row claudecluster.Row
---@param how string
local function edit(row, how)
  -- Not over the goals.
  local window = vim.fn.win_getid(vim.fn.winnr('#'))
  if window ~= 0 and window ~= vim.api.nvim_get_current_win() and how == 'edit' then
    vim.api.nvim_set_current_win(window)
  else
    vim.cmd.split()
  end
  require('claudecluster.file').open(vim.uri_to_fname(row.uri --[[@as string]]))
  if row.hunk and not row.hunk.whole then
    local line = math.min(row.hunk.startLine + 1, vim.api.nvim_buf_line_count(0))
    vim.api.nvim_win_set_cursor(0, { line, 0 })
    vim.cmd('normal! zvzz')
  end
end

---@param rows claudecluster.Row[]
local function open(rows)
  local row = rows[1]
  if row.uri then
    edit(row, 'edit')
  elseif row.goal then
    require('claudecluster.show').open(row.goal)
  end
end

---@param rows claudecluster.Row[]
local function preview(rows)
  if rows[1].hunk then
    require('claudecluster.diff').show({ rows[1].hunk })
  else
    client.notify('no change on this line')
  end
end

---@param rows claudecluster.Row[]
local function compare(rows)
  local goal, uri = rows[1].goal, rows[1].uri
  if goal and uri then
    require('claudecluster.compare').open('all', goal, uri)
  else
    client.notify('no file on this line')
  end
end

---@param rows claudecluster.Row[]
local function cancel(rows)
  local goal = rows[1].goal --[[@as string]]
  prompt.confirm(('Cancel %s? Changes made so far stay pending.'):format(goal), function()
    require('claudecluster.progress').cancel(goal)
  end)
end

---@param rows claudecluster.Row[]
local function retry(rows)
  local row = rows[1]
  local argument = { goalId = row.goal, taskId = row.kind == 'task' and row.task or nil }
  client.command('claudecluster.goal.retry', argument)
end

---@param rows claudecluster.Row[]
local function log(rows)
  local goal = rows[1].goal --[[@as string]]
  require('claudecluster.log').open(goal, rows[1].kind == 'task' and rows[1].task or nil)
end

---@class claudecluster.Key
---@field key string
---@field does string
---@field run fun(rows: claudecluster.Row[])
---@field many? boolean whether it takes a selection

---@type claudecluster.Key[]
M.keys = {
  { key = '<CR>', does = 'open the file, the change or the goal', run = open },
  { key = 'K', does = 'show a change in a floating window', run = preview },
  { key = 'd', does = 'compare a file in a tab: before, now, proposed', run = compare },
  { key = 'a', does = 'accept', run = verdict_on('accept'), many = true },
  { key = 'r', does = 'reject', run = verdict_on('reject'), many = true },
  { key = 'R', does = 'reject with a reason', run = reject_with_reason, many = true },
  { key = 'u', does = 'undo an accepted change', run = verdict_on('undo'), many = true },
  { key = '<C-r>', does = 'redo an undone change', run = verdict_on('redo'), many = true },
  {
    key = 'p',
    does = 'open the plan',
    run = function(rows)
      require('claudecluster.plan').open(rows[1].goal --[[@as string]])
    end,
  },
  {
    key = 'A',
    does = 'approve the plan or a paused task',
    run = function(rows)
      local task = rows[1].kind == 'task' and rows[1].task or nil
      require('claudecluster.plan').approve(rows[1].goal --[[@as string]], task)
    end,
  },
  { key = 'c', does = 'cancel the goal', run = cancel },
  { key = 't', does = 'retry this task, or all failed tasks', run = retry },
  { key = 'L', does = 'show the log of the agents', run = log },
}

---The keys that need no goal.
---@type { key: string, does: string, run: fun() }[]
M.everywhere = {
  {
    key = 'P',
    does = 'answer permission requests',
    run = function()
      require('claudecluster.permissions').choose()
    end,
  },
  {
    key = '<Tab>',
    does = 'open or close the fold',
    run = function()
      pcall(vim.cmd.normal, { args = { 'za' }, bang = true })
    end,
  },
  {
    key = ']]',
    does = 'go to the next goal',
    run = function()
      vim.fn.search([[^\S.* g\d]], 'W')
    end,
  },
  {
    key = '[[',
    does = 'go to the previous goal',
    run = function()
      vim.fn.search([[^\S.* g\d]], 'bW')
    end,
  },
  {
    key = 'q',
    does = 'close the window',
    run = function()
      vim.cmd.close()
    end,
  },
  {
    key = 'g?',
    does = 'show these keys',
    run = function()
      M.help()
    end,
  },
}

---Shows what the keys do.
function M.help()
  local lines = {}
  for _, key in ipairs(vim.list_extend(vim.list_extend({}, M.keys), M.everywhere)) do
    table.insert(lines, (' %-6s %s '):format(key.key, key.does))
  end
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].bufhidden = 'wipe'
  local width = 0
  for _, line in ipairs(lines) do
    width = math.max(width, vim.fn.strdisplaywidth(line))
  end
  local height = math.min(#lines, vim.o.lines - 4)
  vim.api.nvim_open_win(buffer, true, {
    relative = 'editor',
    row = math.max(0, math.floor((vim.o.lines - height) / 2) - 1),
    col = math.max(0, math.floor((vim.o.columns - width) / 2)),
    width = math.min(width, vim.o.columns - 4),
    height = height,
    style = 'minimal',
    border = 'rounded',
    title = ' keys ',
  })
  for _, key in ipairs({ 'q', '<Esc>', 'g?' }) do
    vim.keymap.set('n', key, '<Cmd>close<CR>', { buffer = buffer, nowait = true })
  end
end

return M
