-- How things are said.

local M = {}

local reasons = {
  outOfScope = "outside the goal's scope",
  selfArming = 'can make tools run code',
  partial = 'its task did not succeed',
  gateFailed = 'a gate failed',
  listed = 'listed in review.hold',
  secret = 'adds what looks like a secret',
}

---Marks that hide in a text, or hide what is beside them, and that Neovim does not show by itself: separators of
---lines, fillers, joiners, selectors of shapes, tags. Each with a sign of as many bytes.
local hidden = {
  { '\226\128[\168\169]', '�' },
  { '\226\160\128', '�' },
  { '\227\133\164', '�' },
  { '\239\190\160', '�' },
  { '\225\133[\159\160]', '�' },
  { '\239\184[\128-\142]', '�' },
  { '\243\160[\128-\191][\128-\191]', '�.' },
  { '\205\143', '??' },
  { '\194\173', '??' },
}

---A text with nothing in it that cannot be seen, as long as before.
---@param text string
---@return string
function M.visible(text)
  for _, pair in ipairs(hidden) do
    text = text:gsub(pair[1], pair[2])
  end
  return text
end

---One line of a buffer: what ends a line in a name of a file is shown as `^@`, as Neovim does.
---@param text string
---@return string
function M.line(text)
  return (M.visible(text):gsub('\n', '\0'))
end

---Why a hunk lands only when it is named, and which program runs its file.
---@param hunk claudecluster.Hunk
---@return string[]
function M.held(hunk)
  local notes = vim.tbl_map(function(reason)
    return reasons[reason] or reason
  end, hunk.held or {})
  return vim.list_extend(notes, { hunk.runs })
end

---@param hunk claudecluster.Hunk
---@return string
function M.goal(hunk)
  return hunk.id:match('^[^.]+') --[[@as string]]
end

---Who made a hunk, and what to know before it is accepted.
---@param hunk claudecluster.Hunk
---@return string
function M.maker(hunk)
  local by = hunk.provenance[1]
  local notes = vim.list_extend({ M.goal(hunk) }, M.held(hunk))
  return M.visible(('%s (%s)'):format(by and by.title or 'a task', table.concat(notes, ', ')))
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

---@param n integer
---@param word string
---@return string
function M.count(n, word)
  return ('%d %s%s'):format(n, word, n == 1 and '' or 's')
end

---@param milliseconds number
---@return string
function M.duration(milliseconds)
  local seconds = math.floor(math.max(milliseconds, 0) / 1000)
  if seconds < 60 then
    return ('%ds'):format(seconds)
  elseif seconds < 3600 then
    return ('%dm %02ds'):format(seconds / 60, seconds % 60)
  end
  return ('%dh %02dm'):format(seconds / 3600, seconds % 3600 / 60)
end

---@param dollars number
---@return string
function M.money(dollars)
  return ('$%.2f'):format(dollars)
end

---@return integer # milliseconds since 1970
function M.now()
  local seconds, microseconds = vim.uv.gettimeofday()
  return seconds * 1000 + math.floor(microseconds / 1000) --[[@as integer]]
end

local working = {
  submitted = true,
  planning = true,
  running = true,
  merging = true,
  gating = true,
}

---Whether work on a goal goes on by itself.
---@param goal claudecluster.Goal
---@return boolean
function M.is_working(goal)
  return working[goal.state] == true or goal.running > 0
end

---A state in words.
---@param state string
---@return string
function M.state(state)
  if state == 'landed' then
    return 'applied'
  end
  return (state:gsub('%u', function(letter)
    return ' ' .. letter:lower()
  end))
end

return M
