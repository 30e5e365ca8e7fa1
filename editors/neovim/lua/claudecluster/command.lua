-- :ClaudeCluster

local client = require('claudecluster.client')
local events = require('claudecluster.events')

local M = {}

---@param words string[]
---@return string? goal, string[] rest
local function take_goal(words)
  if words[1] and words[1]:match('^g%d+$') then
    return words[1], vim.list_slice(words, 2)
  end
  return events.newest(), words
end

---@param name string
---@return fun(words: string[])
local function on_goal(name)
  return function(words)
    local goal, rest = take_goal(words)
    if not goal then
      client.notify('which goal? :ClaudeCluster goals lists them', vim.log.levels.ERROR)
    elseif #rest > 0 then
      local what = table.concat(rest, ' ')
      client.notify(('%q is not a goal; it looks like g1'):format(what), vim.log.levels.ERROR)
    elseif name == 'show' then
      require('claudecluster').show(goal)
    else
      require('claudecluster').decide(name, goal)
    end
  end
end

---What stands before `--`, and the reason behind it.
---@param words string[]
---@return string[] words, string? reason
local function take_reason(words)
  for i, word in ipairs(words) do
    if word == '--' then
      local reason = table.concat(vim.list_slice(words, i + 1), ' ')
      return vim.list_slice(words, 1, i - 1), reason ~= '' and reason or nil
    end
  end
  return words, nil
end

---The lines a command is about: its range, else that of the cursor.
---@param opts table
---@return integer first, integer last
local function lines_of(opts)
  if opts.range > 0 then
    return opts.line1, opts.line2
  end
  local line = vim.fn.line('.')
  return line, line
end

---Decides a goal or one of its files if they are named. Else accepts or rejects what is pending on the
---lines of the cursor, takes back what has landed in the range, or all of the newest goal.
---@param verdict 'accept'|'reject'|'undo'|'redo'
---@return fun(words: string[], opts: table)
local function verdict_on(verdict)
  return function(words, opts)
    local named, reason = take_reason(words)
    local goal, file = named[1], named[2]
    local here = verdict == 'accept' or verdict == 'reject'
    if not goal and here then
      local first, last = lines_of(opts)
      require('claudecluster').decide_here(verdict, first, last, reason)
      return
    elseif not goal and verdict == 'undo' and opts.range > 0 then
      require('claudecluster').undo_here(opts.line1, opts.line2)
      return
    end
    goal = goal or events.newest()
    if not goal or not goal:match('^g%d+$') then
      local what = goal and ('%q is not a goal; it looks like g1'):format(goal)
      client.notify(
        what or 'which goal? :ClaudeCluster goals lists them',
        vim.log.levels.ERROR
      )
      return
    end
    if #named > 2 then
      client.notify(
        'one file at a time; a backslash goes before a space in its name, and -- before a reason',
        vim.log.levels.ERROR
      )
      return
    end
    local uri = file and require('claudecluster').uri(file)
    require('claudecluster').decide('goal.' .. verdict, goal, { uri = uri, reason = reason })
  end
end

---Rejects after it has asked why.
---@param words string[]
---@param opts table
local function reject_with_reason(words, opts)
  require('claudecluster').ask_why('Why is it rejected?', function(reason)
    verdict_on('reject')(vim.list_extend(words, reason and { '--', reason } or {}), opts)
  end)
end

local resolutions = { 'both', 'markers', 'merged', 'mine', 'repair', 'theirs' }

---@param words string[]
---@param opts table
local function resolve(words, opts)
  local named, reason = take_reason(words)
  local kind = named[1]
  if #named ~= 1 or not vim.list_contains(resolutions, kind) then
    local message = 'resolve it how? :ClaudeCluster resolve ' .. table.concat(resolutions, '|')
    client.notify(message, vim.log.levels.ERROR)
    return
  end
  local first, last = lines_of(opts)
  require('claudecluster').resolve_here(kind, first, last, reason)
end

---@type table<string, fun(words: string[], opts: table)>
local subcommands = {
  goal = function(words, opts)
    local selection
    if opts.range > 0 then
      selection = {
        uri = vim.uri_from_bufnr(0),
        range = { startLine = opts.line1 - 1, endLine = opts.line2 },
      }
    elseif vim.bo.buftype == '' and vim.api.nvim_buf_get_name(0) ~= '' then
      -- Names the workspace where several are open.
      selection = { uri = vim.uri_from_bufnr(0) }
    end
    require('claudecluster').goal(table.concat(words, ' '), selection)
  end,
  goals = function()
    require('claudecluster').goals()
  end,
  changes = function()
    require('claudecluster').changes()
  end,
  accept = verdict_on('accept'),
  reject = verdict_on('reject'),
  show = on_goal('show'),
  ['reject!'] = reject_with_reason,
  undo = verdict_on('undo'),
  redo = verdict_on('redo'),
  resolve = resolve,
  next = function()
    require('claudecluster').jump(1)
  end,
  prev = function()
    require('claudecluster').jump(-1)
  end,
  diff = function()
    require('claudecluster').diff()
  end,
  toggle = function()
    local shown = require('claudecluster.pending').toggle()
    client.notify(shown and 'pending changes are shown' or 'pending changes are hidden')
  end,
  cancel = on_goal('goal.cancel'),
  retry = on_goal('goal.retry'),
  approve = on_goal('plan.approve'),
}

---Those that take a goal.
local on_goals = {
  'accept',
  'approve',
  'cancel',
  'redo',
  'reject',
  'reject!',
  'retry',
  'show',
  'undo',
}

---@return string[]
local function names()
  local all = vim.tbl_keys(subcommands)
  table.sort(all)
  return all
end

---@param opts table what |nvim_create_user_command()| gives
function M.run(opts)
  local words = vim.deepcopy(opts.fargs)
  local name = table.remove(words, 1) or 'goals'
  local subcommand = subcommands[name]
  if not subcommand then
    local message = ('there is no %q; there are %s'):format(name, table.concat(names(), ', '))
    client.notify(message, vim.log.levels.ERROR)
    return
  end
  subcommand(words, opts)
end

---Files in which something of a goal is pending, as they are written in a command.
---@param goal string
---@return string[]
local function pending_files(goal)
  local server = client.find()
  local reply = server and server:request_sync('claudecluster/changes', vim.empty_dict(), 1000, 0)
  local found = {}
  for _, document in ipairs(reply and reply.result and reply.result.documents or {}) do
    for _, hunk in ipairs(document.hunks) do
      if vim.startswith(hunk.id, goal .. '.') then
        local name = hunk.path:gsub('[\\ ]', '\\%0')
        found[name] = true
      end
    end
  end
  local files = vim.tbl_keys(found)
  table.sort(files)
  return files
end

---@param lead string
---@param line string
---@param position integer
---@return string[]
function M.complete(lead, line, position)
  local before = line:sub(1, position - #lead):match('ClaudeCluster(.*)$') or ''
  local words = vim.split(before, '%s+', { trimempty = true })
  local choices = {}
  if #words == 0 then
    choices = names()
  elseif #words == 1 and words[1] == 'resolve' then
    choices = resolutions
  elseif #words == 1 and vim.list_contains(on_goals, words[1]) then
    choices = events.goals()
  elseif #words == 2 and vim.list_contains({ 'accept', 'reject', 'reject!' }, words[1]) then
    choices = pending_files(words[2])
  end
  return vim.tbl_filter(function(choice)
    return vim.startswith(choice, lead)
  end, choices)
end

return M
