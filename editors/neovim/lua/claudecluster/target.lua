-- What the words of a command name: a goal, one of its tasks or files, or a hunk.

local client = require('claudecluster.client')
local goals = require('claudecluster.goals')

local M = {}

---@class claudecluster.Target
---@field goal? string
---@field task? string
---@field uri? string
---@field hunk? string

---@param word string
---@return boolean
function M.is_goal(word)
  return word:match('^g%d+$') ~= nil
end

---@param goal string
---@param word string
---@return boolean
function M.is_task(goal, word)
  local known = goals.get(goal)
  return vim.iter(known and known.tasksDetail or {}):any(function(task)
    return task.id == word
  end)
end

---@param words string[]
---@return claudecluster.Target? # nothing where it is told what is wrong
function M.parse(words)
  local first, second = words[1], words[2]
  if not first then
    return {}
  elseif first:match('^g%d+%.%w+$') and #words == 1 then
    return { hunk = first }
  elseif not M.is_goal(first) then
    client.fail(('%q is not a goal id such as g1'):format(first))
  elseif #words > 2 then
    client.fail('name one file or task; escape spaces with a backslash, and put -- before a reason')
  elseif second and M.is_task(first, second) then
    return { goal = first, task = second }
  else
    return { goal = first, uri = second and client.uri(second) }
  end
end

---What stands before `--`, and the reason behind it.
---@param words string[]
---@return string[] words, string? reason
function M.take_reason(words)
  for i, word in ipairs(words) do
    if word == '--' then
      local reason = table.concat(vim.list_slice(words, i + 1), ' ')
      return vim.list_slice(words, 1, i - 1), reason ~= '' and reason or nil
    end
  end
  return words, nil
end

---The goal that is named, with one of its tasks where one is; else the newest.
---@param words string[]
---@param most integer how many words there may be
---@return string? goal, string? task
function M.goal(words, most)
  local goal = words[1] or goals.newest()
  if not goal then
    client.fail('no goal named; list goals with :ClaudeCluster goals')
  elseif not M.is_goal(goal) or #words > most then
    local what = table.concat(words, ' ')
    client.fail(('%q is not a goal id such as g1'):format(what))
  else
    return goal, words[2]
  end
end

---The lines a command is about: its range, else that of the cursor.
---@param opts table what |nvim_create_user_command()| gives
---@return integer first, integer last
function M.lines(opts)
  if opts.range > 0 then
    local count = vim.api.nvim_buf_line_count(0)
    return math.min(opts.line1, count), math.min(opts.line2, count)
  end
  local line = vim.fn.line('.')
  return line, line
end

return M
