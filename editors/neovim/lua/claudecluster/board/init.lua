-- The buffer of goals. It follows the server's events; while something runs, only its clock ticks by itself.

local goals = require('claudecluster.goals')
local text = require('claudecluster.text')

local M = {}

local NAME = 'claudecluster://goals'
local ns = vim.api.nvim_create_namespace('claudecluster.board')

---@type integer?
local buffer
---@type claudecluster.Row[]
local rows = {}
---@type uv.uv_timer_t?
local clock
local watching = false
---Goals that have been seen: those that are over are folded when they are seen first.
---@type table<string, boolean>
local seen = {}

---@param lnum integer
---@return string
function M.fold(lnum)
  return require('claudecluster.board.rows').level(vim.fn.getline(lnum) --[[@as string]])
end

---A fold is shown by its first line, as it is when it is open.
---@return [string, string?][]
function M.foldtext()
  local row = rows[vim.v.foldstart]
  if not row then
    return {
      {
        vim.fn.getline(vim.v.foldstart) --[[@as string]],
      },
    }
  end
  local chunks, at = {}, 0
  for _, span in ipairs(row.spans) do
    table.insert(chunks, { row.line:sub(at + 1, span[1]) })
    table.insert(chunks, { row.line:sub(span[1] + 1, span[2]), span[3] })
    at = span[2]
  end
  table.insert(chunks, { row.line:sub(at + 1) })
  table.insert(chunks, { '  ' .. (row.note or ''), 'ClaudeClusterInfo' })
  return chunks
end

---What a row stands for, whatever line it is on.
---@param row claudecluster.Row
---@return string
local function identity(row)
  return table.concat({ row.kind, row.goal or '', row.task or '', row.uri or '' }, '\0')
end

---@param window integer
---@return table<string, true> # the rows whose folds are closed
local function closed_in(window)
  local closed = {}
  vim.api.nvim_win_call(window, function()
    for index, row in ipairs(rows) do
      if vim.fn.foldclosed(index) == index then
        closed[identity(row)] = true
      end
    end
  end)
  return closed
end

---Computes the folds of a window anew: only the lines that were replaced have been folded anew, not those
---that belong to them now.
---@param window integer
---@param closed table<string, true>
local function fold_again(window, closed)
  vim.wo[window][0].foldmethod = 'expr'
  vim.api.nvim_win_call(window, function()
    for index = #rows, 1, -1 do
      if closed[identity(rows[index])] and vim.fn.foldclosed(index) < 0 then
        pcall(vim.cmd.foldclose, { range = { index } })
      end
    end
  end)
end

---Replaces only the lines that differ, so that cursor and folds stay where they are.
---@param into integer
---@param lines string[]
---@return boolean # whether any did
local function set_lines(into, lines)
  lines = vim.tbl_map(text.line, lines)
  local old = vim.api.nvim_buf_get_lines(into, 0, -1, false)
  local diff = vim.diff(table.concat(old, '\n') .. '\n', table.concat(lines, '\n') .. '\n', {
    result_type = 'indices',
  }) --[[@as integer[][] ]]
  vim.bo[into].modifiable = true
  for index = #diff, 1, -1 do
    local hunk = diff[index]
    local start, count, new_start, new_count = hunk[1], hunk[2], hunk[3], hunk[4]
    -- Nothing is replaced behind the line that is named, not before it.
    local first = count == 0 and start or start - 1
    local new = vim.list_slice(lines, new_start, new_start + new_count - 1)
    vim.api.nvim_buf_set_lines(into, first, first + count, false, new)
  end
  vim.bo[into].modifiable = false
  return #diff > 0
end

---@param shown integer
local function decorate(shown)
  vim.api.nvim_buf_clear_namespace(shown, ns, 0, -1)
  for index, row in ipairs(rows) do
    for _, span in ipairs(row.spans) do
      local opts = { end_col = span[2], hl_group = span[3] }
      vim.api.nvim_buf_set_extmark(shown, ns, index - 1, span[1], opts)
    end
    if row.note and row.note ~= '' then
      vim.api.nvim_buf_set_extmark(shown, ns, index - 1, 0, {
        virt_text = { { '  ' .. text.visible(row.note), 'ClaudeClusterInfo' } },
      })
    end
  end
end

---Closes the folds of goals that are over, once.
---@param shown integer
local function fold_what_is_over(shown)
  for _, window in ipairs(vim.fn.win_findbuf(shown)) do
    vim.api.nvim_win_call(window, function()
      for index, row in ipairs(rows) do
        local goal = row.kind == 'goal' and row.goal and goals.get(row.goal)
        if goal and goal.tasksDetail and not seen[goal.id] then
          seen[goal.id] = true
          local over = vim.list_contains({ 'landed', 'rejected', 'cancelled' }, goal.state)
          if over and goal.hunks.pending + goal.hunks.conflicts == 0 then
            pcall(vim.cmd.foldclose, { range = { index } })
          end
        end
      end
    end)
  end
end

local function is_visible()
  return buffer ~= nil and vim.api.nvim_buf_is_valid(buffer) and #vim.fn.win_findbuf(buffer) > 0
end

local function stop_clock()
  if clock then
    clock:stop()
    clock:close()
    clock = nil
  end
end

---@return boolean
local function is_working()
  return vim.iter(goals.all()):any(text.is_working)
end

---Draws what the server has told.
local function draw()
  if not buffer or not is_visible() then
    stop_clock()
    return
  end
  ---@type table<integer, table<string, true>>
  local closed = {}
  for _, window in ipairs(vim.fn.win_findbuf(buffer)) do
    closed[window] = closed_in(window)
  end
  rows = require('claudecluster.board.rows').make()
  local changed = set_lines(
    buffer,
    vim.tbl_map(function(row)
      return row.line
    end, rows)
  )
  if changed then
    for window, folds in pairs(closed) do
      fold_again(window, folds)
    end
  end
  decorate(buffer)
  fold_what_is_over(buffer)
  if not is_working() then
    stop_clock()
  elseif not clock then
    local timer = assert(vim.uv.new_timer())
    timer:start(1000, 1000, vim.schedule_wrap(draw))
    clock = timer
  end
end

---The rows on these lines of the buffer.
---@param first integer
---@param last integer
---@return claudecluster.Row[]
function M.rows(first, last)
  return vim.list_slice(rows, first, last)
end

---@param key claudecluster.Key
local function map(key)
  local function on(first, last)
    local chosen = vim.tbl_filter(function(row)
      return row.goal ~= nil
    end, M.rows(first, last))
    if #chosen == 0 then
      require('claudecluster.client').notify('no goal on this line')
    else
      key.run(chosen)
    end
  end
  local opts = { buffer = buffer, nowait = true, desc = 'ClaudeCluster: ' .. key.does }
  vim.keymap.set('n', key.key, function()
    local line = vim.fn.line('.')
    on(line, line)
  end, opts)
  if key.many then
    vim.keymap.set('x', key.key, function()
      local first, last = vim.fn.line('v'), vim.fn.line('.')
      vim.cmd.normal({ args = { '\27' }, bang = true })
      on(math.min(first, last), math.max(first, last))
    end, opts)
  end
end

local function create()
  buffer = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_name(buffer, NAME)
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].filetype = 'claudecluster'
  local keys = require('claudecluster.board.keys')
  for _, key in ipairs(keys.keys) do
    map(key)
  end
  for _, key in ipairs(keys.everywhere) do
    local opts = { buffer = buffer, nowait = true, desc = 'ClaudeCluster: ' .. key.does }
    vim.keymap.set('n', key.key, key.run, opts)
  end
end

---@param window integer
local function set_up(window)
  local wo = vim.wo[window][0]
  wo.foldmethod = 'expr'
  wo.foldexpr = "v:lua.require'claudecluster.board'.fold(v:lnum)"
  wo.foldtext = "v:lua.require'claudecluster.board'.foldtext()"
  wo.foldlevel = 99
  wo.foldenable = true
  wo.fillchars = 'fold: '
  wo.foldcolumn = '0'
  wo.statuscolumn = "%{foldclosed(v:lnum) == v:lnum ? '▸ ' : '  '}"
  wo.wrap = false
  wo.number = false
  wo.relativenumber = false
  wo.signcolumn = 'no'
  wo.spell = false
  wo.list = false
  wo.cursorline = true
end

---Opens the buffer of goals, or goes to it.
---@param mods? table what stands before the command, as |nvim_cmd()| takes it
function M.open(mods)
  if not require('claudecluster.client').get() then
    return
  end
  require('claudecluster.highlights').define()
  if not watching then
    watching = true
    goals.watch(draw)
  end
  if buffer and vim.api.nvim_buf_is_valid(buffer) and vim.fn.bufwinid(buffer) > 0 then
    vim.api.nvim_set_current_win(vim.fn.bufwinid(buffer))
  else
    if not buffer or not vim.api.nvim_buf_is_valid(buffer) then
      create()
    end
    if not mods or (mods.split or '') == '' then
      mods = vim.tbl_extend('force', mods or {}, { split = 'botright' })
    end
    vim.cmd({ cmd = 'sbuffer', args = { buffer }, mods = mods })
    set_up(vim.api.nvim_get_current_win())
    seen = {}
  end
  draw()
  goals.load(true)
end

return M
