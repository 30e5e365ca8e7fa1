-- Pending hunks in the text: what goes is highlighted, what comes is shown as virtual lines, and both
-- sides of a conflict are named. Marks move with the text by themselves; the server tells after every
-- change where the hunks are now.

local M = {}

local ns = vim.api.nvim_create_namespace('claudecluster')

---@class claudecluster.Shown
---@field tick integer the change of the text that was seen last; what is told for an older one is stale
---@field hunks table[] what the server told last

---@type table<integer, claudecluster.Shown>
local buffers = {}
local visible = true

---@class claudecluster.Place what is drawn at a hunk
---@field buffer integer
---@field first integer its first line, from 0
---@field last integer one past its last line

local links = {
  ClaudeClusterAdd = 'DiffAdd',
  ClaudeClusterAddWord = 'DiffText',
  ClaudeClusterDelete = 'DiffDelete',
  ClaudeClusterDeleteWord = 'DiffText',
  ClaudeClusterMine = 'DiffChange',
  ClaudeClusterConflict = 'DiagnosticWarn',
  ClaudeClusterSign = 'DiagnosticInfo',
  ClaudeClusterInfo = 'Comment',
}

local function define_highlights()
  for name, link in pairs(links) do
    vim.api.nvim_set_hl(0, name, { link = link, default = true })
  end
end

local reasons = {
  outOfScope = "outside the goal's scope",
  selfArming = 'can make tools run code',
  partial = 'its task did not finish',
  gateFailed = 'a check failed',
}

---Who made a hunk, and what to know before it is accepted.
---@param hunk table
---@return string
function M.maker(hunk)
  local by = hunk.provenance[1]
  local goal = hunk.id:match('^[^.]+')
  local held = vim.tbl_map(function(reason)
    return reasons[reason] or reason
  end, hunk.held or {})
  return ('%s (%s)'):format(by and by.title or 'a task', table.concat({ goal, unpack(held) }, ', '))
end

---Lines without their ends. A text that ends a line has none after it.
---@param text string
---@return string[]
function M.lines(text)
  if text == '' then
    return {}
  end
  return vim.split((text:gsub('\n$', '')), '\n', { plain = true })
end

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
---@param hunk table
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
---@param text string
---@param group string
local function sign(place, text, group)
  local row = math.min(place.first, vim.api.nvim_buf_line_count(place.buffer) - 1)
  mark(place.buffer, row, 0, { sign_text = text, sign_hl_group = group, priority = 20 })
end

---@param place claudecluster.Place
---@param hunk table
local function show_clean(place, hunk)
  local lines = new_lines(place.buffer, hunk)
  local label = { '  ' .. M.maker(hunk), 'ClaudeClusterInfo' }
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
  local text = #lines == 0 and '-' or place.first == place.last and '+' or '~'
  sign(place, text, 'ClaudeClusterSign')
end

---@param text string
local function rule(text)
  local line = ('── %s '):format(text)
  return { { line .. ('─'):rep(vim.o.columns), 'ClaudeClusterConflict' } }
end

---@param place claudecluster.Place
---@param hunk table
local function show_conflict(place, hunk)
  local by = hunk.conflict and hunk.conflict.mineBy or {}
  local mine = by[1] and ('written by %s'):format(by[1].title) or 'written by you'
  if place.first == place.last then
    mine = by[1] and ('removed by %s'):format(by[1].title) or 'removed by you'
  end
  local above = { rule('conflict: ' .. mine) }
  local below = { rule('proposed by ' .. M.maker(hunk)) }
  local theirs = new_lines(place.buffer, {
    newText = hunk.conflict and hunk.conflict.theirs or hunk.newText,
  })
  for _, chunks in ipairs(theirs) do
    table.insert(below, to_the_edge(chunks, 'ClaudeClusterAdd'))
  end
  if #theirs == 0 then
    below = { rule('to be removed, says ' .. M.maker(hunk)) }
  end
  if hunk.merged then
    table.insert(below, rule('the words of both'))
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
---@param hunk table
local function show_whole(place, hunk)
  local conflict = hunk.status == 'conflict'
  local group = conflict and 'ClaudeClusterConflict' or 'ClaudeClusterInfo'
  local text = ('  %s%s of this file, from %s'):format(
    conflict and 'conflicting ' or '',
    hunk.kind,
    M.maker(hunk)
  )
  mark(place.buffer, 0, 0, { virt_text = { { text, group } } })
  sign({ buffer = place.buffer, first = 0, last = 0 }, conflict and '!' or '~', group)
end

---@param buffer integer
local function draw(buffer)
  vim.api.nvim_buf_clear_namespace(buffer, ns, 0, -1)
  local shown = buffers[buffer]
  if not visible or not shown then
    return
  end
  local count = vim.api.nvim_buf_line_count(buffer)
  for _, hunk in ipairs(shown.hunks) do
    local place = {
      buffer = buffer,
      first = math.min(hunk.startLine, count),
      last = math.min(math.max(hunk.startLine, hunk.endLine), count),
    }
    if hunk.whole then
      show_whole(place, hunk)
    elseif hunk.status == 'conflict' then
      show_conflict(place, hunk)
    else
      show_clean(place, hunk)
    end
  end
end

---Takes what the server tells. What it tells of a text that has changed since is left alone: the marks
---have moved with the change, and word of the newer text follows.
---@param told { uri: string, version: integer, hunks: table[] }
function M.on_pending(told)
  local buffer = vim.uri_to_bufnr(told.uri)
  if not vim.api.nvim_buf_is_loaded(buffer) then
    return
  end
  M.attach(buffer)
  local shown = buffers[buffer]
  if told.version >= shown.tick then
    shown.hunks = told.hunks
    draw(buffer)
  end
end

---Follows the changes of a buffer. |b:changedtick| alone would not do: it counts a write too, which
---the server is not told of as a change.
---@param buffer integer
function M.attach(buffer)
  if buffers[buffer] then
    return
  end
  define_highlights()
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
    draw(buffer)
  end
end

---Shows pending hunks in the text, or hides them.
---@return boolean # whether they are shown now
function M.toggle()
  visible = not visible
  for buffer in pairs(buffers) do
    draw(buffer)
  end
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
