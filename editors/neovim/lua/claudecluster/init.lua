-- What a configuration or another plugin can call. Thin: the server does the work.

local M = {}

---Optional: starts the server and takes options. What is unknown among them is told.
---@param options? claudecluster.Options
function M.setup(options)
  local config = require('claudecluster.config').take(options or {})
  require('claudecluster.server').enable(config)
end

---Asks what to do about a goal that is under way already.
---@param same string the goal
---@param another fun() starts another
local function on_duplicate(same, another)
  local show, start = 'Show it', 'Start another'
  local prompt = ('ClaudeCluster: %s already has this goal'):format(same)
  vim.ui.select({ show, start }, { prompt = prompt }, function(choice)
    if choice == show then
      require('claudecluster.show').open(same)
    elseif choice == start then
      another()
    end
  end)
end

---@class claudecluster.GoalOptions
---@field again? boolean even where a goal that is not settled does the same
---@field done? fun(goal: string) called once it is stated

---States a goal. Opens a window to write it in where there are no words.
---@param prompt string
---@param selection? claudecluster.Selection what it is about
---@param options? claudecluster.GoalOptions
function M.goal(prompt, selection, options)
  options = options or {}
  local client = require('claudecluster.client')
  if vim.trim(prompt) == '' then
    if client.get() then
      require('claudecluster.prompt').goal(selection)
    end
    return
  end
  -- What kind of scope it is, the settings say.
  local scope = selection and { uris = { selection.uri }, range = selection.range }
  local argument = { prompt = prompt, scope = scope, again = options.again }
  client.command('claudecluster.goal.submit', argument, function(result)
    if options.done then
      options.done(result.goalId)
    end
    if result.duplicateOf then
      on_duplicate(result.duplicateOf, function()
        M.goal(prompt, selection, { again = true })
      end)
      return
    end
    require('claudecluster.goals').remember(result.goalId)
    client.notify(('started %s'):format(result.goalId))
  end)
end

---What goes on, for a status line; empty where nothing does.
---@return string
function M.status()
  return require('claudecluster.status').line()
end

---Moves to a pending change of the buffer, around its end.
---@param direction 1|-1
---@param count? integer
function M.jump(direction, count)
  require('claudecluster.motion').jump(direction, count)
end

return M
