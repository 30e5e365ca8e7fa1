-- Pending hunks in the text: what goes is highlighted, what comes is shown as virtual lines, and both
-- sides of a conflict are named.

local config = require('claudecluster.config')
local text = require('claudecluster.text')

local M = {}

local ns = vim.api.nvim_create_namespace('claudecluster')

---@class claudecluster.Place what is drawn at a hunk
---@field buffer integer
---@field first integer its first line, from 0
---@field last integer one past its last line

---A line as it is seen: virtual text shows neither tabs nor the end of a DOS line as the text does.
---@param buffer integer
---@param line string
---@param column integer where it starts on the screen
---@return string
local function seen(buffer, line, column)
  local out = {}
  for part, tab in line:gsub('\r$', ''):gmatch('([^\t]*)(\t?)') do
    local shown = vim.fn.strtrans(part)
    column = column + vim.fn.strdisplaywidth(shown)
    table.insert(out, shown)
    if tab ~= '' then
      local width = vim.bo[buffer].tabstop - column % vim.bo[buffer].tabstop
      table.insert(out, (' '):rep(width))
      column = column + width
    end
  end
  return table.concat(out)
end

---A virtual line that is coloured to the edge of the window.
---@param chunks [string, string][]
---@param group string
local function to_the_edge(chunks, group)
  table.insert(chunks, { (' '):rep(vim.o.columns), group })
  return chunks
end

---The new text as virtual lines. Where the server refined the change to words, those that are new
---stand out.
---@param buffer integer
---@param hunk { newText: string, words?: claudecluster.Word[] }
---@return table[]
local function new_lines(buffer, hunk)
  local words = hunk.words
  if not words or #words == 0 then
    words = { { kind = 'same', text = hunk.newText } }
  end
  local lines, chunks, column = {}, {}, 0
  local ended = true
  for _, word in ipairs(words) do
    if word.kind ~= 'removed' then
      local group = word.kind == 'added' and 'ClaudeClusterAddWord' or 'ClaudeClusterAdd'
      for part, feed in word.text:gmatch('([^\n]*)(\n?)') do
        if part ~= '' then
          local shown = seen(buffer, part, column)
          column = column + vim.fn.strdisplaywidth(shown)
          table.insert(chunks, { shown, group })
          ended = false
        end
        if feed ~= '' then
          table.insert(lines, chunks)
          chunks, column, ended = {}, 0, true
        end
      end
    end
  end
  if not ended then
    table.insert(lines, chunks)
  end
  return lines
end

---@param buffer integer
---@param row integer
---@param column integer
---@param opts vim.api.keyset.set_extmark
local function mark(buffer, row, column, opts)
  opts.strict = false
  for _, chunks in ipairs(vim.list_extend({ opts.virt_text or {} }, opts.virt_lines or {})) do
    for _, chunk in ipairs(chunks) do
      chunk[1] = text.visible(chunk[1])
    end
  end
  vim.api.nvim_buf_set_extmark(buffer, ns, row, column, opts)
end

---Virtual lines between two lines of the text: before `row`, or below the last one.
---@param buffer integer
---@param row integer
---@param lines table[]
local function between(buffer, row, lines)
  if #lines == 0 then
    return
  end
  local count = vim.api.nvim_buf_line_count(buffer)
  if row < count then
    mark(buffer, row, 0, { virt_lines = lines, virt_lines_above = true })
  else
    mark(buffer, count - 1, 0, { virt_lines = lines })
  end
  if row == 0 then
    -- What is above the first line is out of sight unless the window is told to make room.
    for _, window in ipairs(vim.fn.win_findbuf(buffer)) do
      vim.api.nvim_win_call(window, function()
        local view = vim.fn.winsaveview()
        if view.topline == 1 and view.topfill < #lines then
          vim.fn.winrestview({ topfill = #lines })
        end
      end)
    end
  end
end

---@param place claudecluster.Place
---@param group string
local function highlight(place, group)
  if place.last > place.first then
    mark(place.buffer, place.first, 0, {
      end_row = place.last,
      end_col = 0,
      hl_group = group,
      hl_eol = true,
      priority = 90,
    })
  end
end

---The words that go, in the old lines.
---@param place claudecluster.Place
---@param words table[]
local function highlight_removed(place, words)
  local row, column = place.first, 0
  for _, word in ipairs(words) do
    if word.kind ~= 'added' then
      local feeds = select(2, word.text:gsub('\n', ''))
      local tail = #word.text:match('[^\n]*$')
      local end_row, end_column = row + feeds, feeds > 0 and tail or column + tail
      if word.kind == 'removed' then
        mark(place.buffer, row, column, {
          end_row = end_row,
          end_col = end_column,
          hl_group = 'ClaudeClusterDeleteWord',
          priority = 91,
        })
      end
      row, column = end_row, end_column
    end
  end
end

---@param place claudecluster.Place
---@param sign_text string
---@param group string
local function sign(place, sign_text, group)
  if not config.signs then
    return
  end
  local row = math.min(place.first, vim.api.nvim_buf_line_count(place.buffer) - 1)
  mark(place.buffer, row, 0, { sign_text = sign_text, sign_hl_group = group, priority = 20 })
end

---@param place claudecluster.Place
---@param hunk claudecluster.Hunk
local function show_clean(place, hunk)
  local lines = new_lines(place.buffer, hunk)
  local label = { '  ' .. text.maker(hunk), 'ClaudeClusterInfo' }
  highlight(place, 'ClaudeClusterDelete')
  if hunk.words and place.last > place.first then
    highlight_removed(place, hunk.words)
  end
  if #lines == 0 then
    mark(place.buffer, place.first, 0, { virt_text = { label } })
  else
    table.insert(lines[1], label)
    for i, chunks in ipairs(lines) do
      to_the_edge(chunks, i == 1 and 'ClaudeClusterInfo' or 'ClaudeClusterAdd')
    end
    between(place.buffer, place.last, lines)
  end
  local shape = #lines == 0 and '-' or place.first == place.last and '+' or '~'
  sign(place, shape, 'ClaudeClusterSign')
end

---@param words string
local function rule(words)
  local line = ('── %s '):format(words)
  return { { line .. ('─'):rep(vim.o.columns), 'ClaudeClusterConflict' } }
end

---@param place claudecluster.Place
---@param hunk claudecluster.Hunk
local function show_conflict(place, hunk)
  local who = hunk.mineBy and hunk.mineBy[1] and hunk.mineBy[1].title or 'you'
  local mine = ('written by %s'):format(who)
  if hunk.minePending then
    mine = ('proposed by %s'):format(who)
  elseif place.first == place.last then
    mine = ('removed by %s'):format(who)
  end
  local above = { rule('conflict: ' .. mine) }
  local below = { rule('proposed by ' .. text.maker(hunk)) }
  local theirs = new_lines(place.buffer, {
    newText = hunk.conflict and hunk.conflict.theirs or hunk.newText,
  })
  for _, chunks in ipairs(theirs) do
    table.insert(below, to_the_edge(chunks, 'ClaudeClusterAdd'))
  end
  if #theirs == 0 then
    below = { rule('removal proposed by ' .. text.maker(hunk)) }
  end
  if hunk.merged then
    table.insert(below, rule('merged word by word'))
    for _, chunks in ipairs(new_lines(place.buffer, { newText = hunk.merged })) do
      table.insert(below, to_the_edge(chunks, 'ClaudeClusterAdd'))
    end
  end
  table.insert(below, rule('end of conflict'))
  if place.first == place.last then
    between(place.buffer, place.first, vim.list_extend(above, below))
  else
    between(place.buffer, place.first, above)
    between(place.buffer, place.last, below)
    highlight(place, 'ClaudeClusterMine')
  end
  sign(place, '!', 'ClaudeClusterConflict')
end

---A file that is decided as a whole has no lines of its own.
---@param place claudecluster.Place
---@param hunk claudecluster.Hunk
local function show_whole(place, hunk)
  local conflict = hunk.status == 'conflict'
  local group = conflict and 'ClaudeClusterConflict' or 'ClaudeClusterInfo'
  local label = ('  %s%s of this file, from %s'):format(
    conflict and 'conflicting ' or '',
    hunk.kind,
    text.maker(hunk)
  )
  mark(place.buffer, 0, 0, { virt_text = { { label, group } } })
  sign({ buffer = place.buffer, first = 0, last = 0 }, conflict and '!' or '~', group)
end

---Where a hunk is in a buffer of so many lines.
---@param hunk claudecluster.Hunk
---@param count integer
---@return integer first, integer last from 0, the last exclusive
function M.place(hunk, count)
  return math.min(hunk.startLine, count), math.min(math.max(hunk.startLine, hunk.endLine), count)
end

---@param buffer integer
function M.clear(buffer)
  vim.api.nvim_buf_clear_namespace(buffer, ns, 0, -1)
end

---@param buffer integer
---@param hunks claudecluster.Hunk[]
function M.draw(buffer, hunks)
  M.clear(buffer)
  local count = vim.api.nvim_buf_line_count(buffer)
  for _, hunk in ipairs(hunks) do
    local first, last = M.place(hunk, count)
    local place = { buffer = buffer, first = first, last = last }
    if hunk.whole then
      show_whole(place, hunk)
    elseif hunk.status == 'conflict' then
      show_conflict(place, hunk)
    else
      show_clean(place, hunk)
    end
  end
end

return M
