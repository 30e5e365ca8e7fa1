-- Hunks as diffs, in a window that floats.

local text = require('claudecluster.text')

local M = {}

---@param out string[]
---@param prefix string
---@param words string
local function add(out, prefix, words)
  for _, line in ipairs(text.lines(words)) do
    table.insert(out, prefix .. line)
  end
end

---What `new` changes about `old`, without the lines that name files.
---@param out string[]
---@param old string
---@param new string
local function add_diff(out, old, new)
  local diff = vim.diff(old, new, { ctxlen = 3 })
  for _, line in
    ipairs(text.lines(diff --[[@as string]]))
  do
    if not vim.startswith(line, '@@') then
      table.insert(out, line)
    end
  end
end

---@param hunk claudecluster.Hunk
---@return string[]
local function describe(hunk)
  local out = {}
  if hunk.whole then
    table.insert(out, ('# %s of %s, from %s'):format(hunk.kind, hunk.path, text.maker(hunk)))
    add(out, '-', hunk.oldText)
    add(out, '+', hunk.newText)
  elseif hunk.conflict then
    local mine = hunk.mineBy and hunk.mineBy[1]
    local whose = hunk.minePending and '# Proposed by %s' or '# Text by %s'
    table.insert(out, mine and whose:format(mine.title) or '# Your text')
    add_diff(out, hunk.conflict.base, hunk.conflict.mine)
    table.insert(out, ('# Proposed by %s'):format(text.maker(hunk)))
    add_diff(out, hunk.conflict.base, hunk.conflict.theirs)
    if hunk.merged then
      table.insert(out, '# Merged word by word')
      add_diff(out, hunk.conflict.mine, hunk.merged)
    end
  else
    table.insert(out, '# ' .. text.maker(hunk))
    add(out, '-', hunk.oldText)
    add(out, '+', hunk.newText)
  end
  local why = hunk.provenance[1] and hunk.provenance[1].why
  if why then
    table.insert(out, '')
    add(out, '# ', why)
  end
  return out
end

---@param hunks claudecluster.Hunk[]
---@return integer window
function M.show(hunks)
  local lines = {}
  for _, hunk in ipairs(hunks) do
    if #lines > 0 then
      table.insert(lines, '')
    end
    vim.list_extend(lines, vim.tbl_map(text.line, describe(hunk)))
  end
  local _, window = vim.lsp.util.open_floating_preview(lines, 'diff', {
    border = 'rounded',
    focus_id = 'claudecluster.diff',
    wrap = false,
  })
  return window
end

---Shows a pending hunk of the current buffer.
---@param id? string default: those at the cursor
function M.here(id)
  local hunks = require('claudecluster.hunks')
  if not id then
    local line = vim.fn.line('.')
    hunks.pending_on(line, line, M.show)
    return
  end
  hunks.here(function(found)
    for _, hunk in ipairs(found) do
      if hunk.id == id then
        M.show({ hunk })
        return
      end
    end
    require('claudecluster.client').notify(('%s is no longer pending in this file'):format(id))
  end)
end

return M
