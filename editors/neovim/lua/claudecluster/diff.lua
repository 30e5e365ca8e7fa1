-- Hunks as diffs, in a window that floats.

local pending = require('claudecluster.pending')

local M = {}

---@param out string[]
---@param prefix string
---@param text string
local function add(out, prefix, text)
  for _, line in ipairs(pending.lines(text)) do
    table.insert(out, prefix .. line)
  end
end

---What `new` changes about `old`, without the lines that name files.
---@param out string[]
---@param old string
---@param new string
local function add_diff(out, old, new)
  local diff = vim.diff(old, new, { ctxlen = 3 })
  for _, line in ipairs(pending.lines(diff --[[@as string]])) do
    if not vim.startswith(line, '@@') then
      table.insert(out, line)
    end
  end
end

---@param hunk table
---@return string[]
local function describe(hunk)
  local out = {}
  if hunk.whole then
    table.insert(out, ('# %s of %s, from %s'):format(hunk.kind, hunk.path, pending.maker(hunk)))
    add(out, '-', hunk.oldText)
    add(out, '+', hunk.newText)
  elseif hunk.conflict then
    local mine = hunk.conflict.mineBy and hunk.conflict.mineBy[1]
    table.insert(out, ('# %s wrote'):format(mine and mine.title or 'you'))
    add_diff(out, hunk.conflict.base, hunk.conflict.mine)
    table.insert(out, ('# %s proposes'):format(pending.maker(hunk)))
    add_diff(out, hunk.conflict.base, hunk.conflict.theirs)
    if hunk.merged then
      table.insert(out, '# the words of both')
      add_diff(out, hunk.conflict.mine, hunk.merged)
    end
  else
    table.insert(out, '# ' .. pending.maker(hunk))
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

---@param hunks table[]
function M.show(hunks)
  local lines = {}
  for _, hunk in ipairs(hunks) do
    if #lines > 0 then
      table.insert(lines, '')
    end
    vim.list_extend(lines, describe(hunk))
  end
  vim.lsp.util.open_floating_preview(lines, 'diff', {
    border = 'rounded',
    focus_id = 'claudecluster.diff',
    wrap = false,
  })
end

return M
