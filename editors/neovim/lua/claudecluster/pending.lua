-- The pending hunks of buffers. Marks move with the text by themselves; the server tells after every change
-- where the hunks are now.

local draw = require('claudecluster.draw')

local M = {}

-- Where hunks begin, also while they are hidden.
local places = vim.api.nvim_create_namespace('claudecluster.places')

---@class claudecluster.Shown
---@field tick integer the change of the text that was seen last; what is told for an older one is stale
---@field hunks claudecluster.Hunk[] what the server told last

---@type table<integer, claudecluster.Shown>
local buffers = {}
---Buffers whose hunks are shown by other means for now: how many want that.
---@type table<integer, integer>
local elsewhere = {}
local visible = true

---@param buffer integer
local function update(buffer)
  local shown = buffers[buffer]
  if visible and shown and not elsewhere[buffer] then
    draw.draw(buffer, shown.hunks)
  else
    draw.clear(buffer)
  end
end

---Marks where hunks begin. A mark that is kept up by Neovim is right at every moment.
---@param buffer integer
---@param hunks claudecluster.Hunk[]
local function mark(buffer, hunks)
  vim.api.nvim_buf_clear_namespace(buffer, places, 0, -1)
  local count = vim.api.nvim_buf_line_count(buffer)
  for _, hunk in ipairs(hunks) do
    local first = draw.place(hunk, count)
    vim.api.nvim_buf_set_extmark(buffer, places, math.min(first, count - 1), 0, {})
  end
end

---The lines of a buffer on which something is pending.
---@param buffer integer
---@return integer[] # counted from 1, in order, each once
function M.lines(buffer)
  local lines = {}
  for _, found in ipairs(vim.api.nvim_buf_get_extmarks(buffer, places, 0, -1, {})) do
    if lines[#lines] ~= found[2] + 1 then
      table.insert(lines, found[2] + 1)
    end
  end
  return lines
end

---Takes what the server tells. What it tells of a text that has changed since is left alone: the marks
---have moved with the change, and word of the newer text follows.
---@param told claudecluster.Document
function M.on_pending(told)
  local buffer = vim.uri_to_bufnr(told.uri)
  if not vim.api.nvim_buf_is_loaded(buffer) then
    return
  end
  M.attach(buffer)
  require('claudecluster.goals').on_pending(told)
  local shown = buffers[buffer]
  if told.version >= shown.tick then
    shown.hunks = told.hunks
    mark(buffer, told.hunks)
    update(buffer)
  end
end

---Follows the changes of a buffer. |b:changedtick| alone would not do: it counts a write too, which
---the server is not told of as a change.
---@param buffer integer
function M.attach(buffer)
  if buffers[buffer] then
    return
  end
  require('claudecluster.highlights').define()
  buffers[buffer] = { tick = 0, hunks = {} }
  vim.api.nvim_buf_attach(buffer, false, {
    on_lines = function(_, _, tick)
      local shown = buffers[buffer]
      if not shown then
        return true
      end
      shown.tick = tick
    end,
    on_reload = function()
      if buffers[buffer] then
        buffers[buffer] = { tick = 0, hunks = {} }
      end
    end,
    on_detach = function()
      buffers[buffer] = nil
    end,
  })
end

---Nothing is pending in a buffer that its server has left.
---@param buffer integer
function M.detach(buffer)
  buffers[buffer] = nil
  if vim.api.nvim_buf_is_loaded(buffer) then
    mark(buffer, {})
    update(buffer)
  end
end

---Shows pending hunks in the text, or hides them.
---@param shown boolean
function M.show(shown)
  visible = shown
  for buffer in pairs(buffers) do
    update(buffer)
  end
end

---Hides the hunks of one buffer while something else shows them.
---@param buffer integer
---@return fun() # shows them again
function M.hide(buffer)
  elsewhere[buffer] = (elsewhere[buffer] or 0) + 1
  update(buffer)
  return function()
    elsewhere[buffer] = elsewhere[buffer] > 1 and elsewhere[buffer] - 1 or nil
    if vim.api.nvim_buf_is_loaded(buffer) then
      update(buffer)
    end
  end
end

---Hides what is shown, and shows what is hidden.
---@return boolean # whether they are shown now
function M.toggle()
  M.show(not visible)
  return visible
end

---How many hunks are known in how many buffers.
---@return integer hunks, integer buffers, boolean visible
function M.count()
  local hunks, files = 0, 0
  for _, shown in pairs(buffers) do
    hunks = hunks + #shown.hunks
    files = files + (#shown.hunks > 0 and 1 or 0)
  end
  return hunks, files, visible
end

return M
