-- :ClaudeCluster

local client = require('claudecluster.client')
local goals = require('claudecluster.goals')
local hunks = require('claudecluster.hunks')
local target = require('claudecluster.target')

local M = {}

---@alias claudecluster.Subcommand fun(words: string[], opts: table)

---How a conflict may be decided.
M.resolutions = { 'both', 'markers', 'merged', 'mine', 'repair', 'theirs' }

---Decides what is named. Where nothing is: accepts or rejects what is pending on the lines of the cursor,
---takes back what has landed in the range, or all of the newest goal.
---@param verdict 'accept'|'reject'|'undo'|'redo'
---@return claudecluster.Subcommand
local function verdict_on(verdict)
  return function(words, opts)
    local named, reason = target.take_reason(words)
    if #named == 0 then
      local first, last = target.lines(opts)
      if verdict == 'accept' or verdict == 'reject' then
        hunks.decide(verdict --[[@as 'accept'|'reject']], first, last, reason)
        return
      elseif verdict == 'undo' and opts.range > 0 then
        hunks.undo(first, last)
        return
      end
      local goal = target.goal({}, 0)
      if goal then
        client.command('claudecluster.goal.' .. verdict, { goalId = goal })
      end
      return
    end
    local what = target.parse(named)
    if not what then
      return
    elseif what.hunk and verdict == 'redo' then
      client.fail('an undone change is pending; accept it instead')
    elseif what.hunk then
      client.command('claudecluster.hunk.' .. verdict, { hunkId = what.hunk, reason = reason })
    else
      client.command('claudecluster.goal.' .. verdict, {
        goalId = what.goal,
        taskId = what.task,
        uri = what.uri,
        reason = reason,
      })
    end
  end
end

---Rejects after it has asked why.
---@param words string[]
---@param opts table
local function reject_with_reason(words, opts)
  require('claudecluster.prompt').why('Reason for rejecting:', function(reason)
    verdict_on('reject')(vim.list_extend(words, reason and { '--', reason } or {}), opts)
  end)
end

---@param words string[]
---@param opts table
local function resolve(words, opts)
  local named, reason = target.take_reason(words)
  local hunk = #named == 2 and named[1]:match('^g%d+%.%w+$')
  local kind = hunk and named[2] or named[1]
  if #named ~= (hunk and 2 or 1) or not vim.list_contains(M.resolutions, kind) then
    client.fail('missing resolution: :ClaudeCluster resolve ' .. table.concat(M.resolutions, '|'))
  elseif hunk then
    local argument = { hunkId = hunk, resolution = { kind = kind }, reason = reason }
    client.command('claudecluster.hunk.resolve', argument)
  else
    local first, last = target.lines(opts)
    hunks.resolve(kind --[[@as claudecluster.Resolution]], first, last, reason)
  end
end

---@param words string[]
---@param opts table
local function goal(words, opts)
  local selection
  if opts.range > 0 then
    local first, last = target.lines(opts)
    selection = {
      uri = vim.uri_from_bufnr(0),
      range = { startLine = first - 1, endLine = last },
    }
  elseif vim.bo.buftype == '' and vim.api.nvim_buf_get_name(0) ~= '' then
    -- Names the workspace where several are open.
    selection = { uri = vim.uri_from_bufnr(0) }
  end
  require('claudecluster').goal(table.concat(words, ' '), selection)
end

---Lets the plan run that waits; where several do, the user chooses.
---@param words string[]
local function approve(words)
  local plan = require('claudecluster.plan')
  local waiting = vim.tbl_filter(function(known)
    return known.state == 'awaitingApproval'
  end, goals.all())
  if #words == 0 and #waiting > 1 then
    vim.ui.select(waiting, {
      prompt = 'Approve the plan of goal:',
      format_item = function(known)
        return known.id .. ' ' .. known.prompt
      end,
    }, function(known)
      if known then
        plan.approve(known.id)
      end
    end)
    return
  end
  local chosen, task = target.goal(#words == 0 and waiting[1] and { waiting[1].id } or words, 2)
  if chosen then
    plan.approve(chosen, task)
  end
end

---@param words string[]
local function cancel(words)
  local progress = require('claudecluster.progress')
  if #words == 0 then
    progress.cancel_one()
    return
  end
  local chosen = target.goal(words, 1)
  if chosen then
    progress.cancel(chosen)
  end
end

---@param words string[]
local function retry(words)
  local chosen, task = target.goal(words, 2)
  if chosen then
    client.command('claudecluster.goal.retry', { goalId = chosen, taskId = task })
  end
end

---@param direction 1|-1
---@return claudecluster.Subcommand
local function jump(direction)
  return function(_, opts)
    local count = opts.range > 0 and opts.line2 or 1
    require('claudecluster.motion').jump(direction, math.max(count, 1))
  end
end

---@param words string[]
local function diff(words)
  local compare = require('claudecluster.compare')
  if not words[1] or words[1] == 'float' then
    require('claudecluster.diff').here()
  elseif vim.list_contains(compare.names(), words[1]) then
    compare.here(words[1])
  else
    client.fail(
      'unknown diff view; use :ClaudeCluster diff float|' .. table.concat(compare.names(), '|')
    )
  end
end

---@param words string[]
local function permissions(words)
  local asked = require('claudecluster.permissions')
  local request, decision, scope = words[1], words[2], words[3]
  if not request then
    asked.choose()
  elseif not vim.list_contains({ 'allow', 'deny' }, decision) then
    client.fail('missing answer: :ClaudeCluster permissions ' .. request .. ' allow|deny')
  elseif scope and not vim.list_contains({ 'once', 'task', 'goal', 'always' }, scope) then
    client.fail(('unknown scope %q; use once, task, goal or always'):format(scope))
  else
    ---@cast decision 'allow'|'deny'
    ---@cast scope 'once'|'task'|'goal'|'always'|nil
    asked.answer(request, decision, scope)
  end
end

---@param words string[]
local function pick(words)
  local pickers = require('claudecluster.pickers')
  local picker = pickers[words[1] or 'changes']
  if picker then
    picker()
  else
    client.fail('unknown list; use :ClaudeCluster pick changes|goals')
  end
end

---@param list 'quickfix'|'loclist'
---@return claudecluster.Subcommand
local function list_in(list)
  return function(words)
    if words[1] and not target.is_goal(words[1]) then
      client.fail(('%q is not a goal id such as g1'):format(words[1]))
    else
      require('claudecluster.lists')[list](words[1])
    end
  end
end

local function toggle()
  local shown = require('claudecluster.pending').toggle()
  client.notify(shown and 'showing pending changes' or 'hiding pending changes')
end

---Something about one goal.
---@param does fun(goal: string, task: string?, opts: table)
---@return claudecluster.Subcommand
local function about(does)
  return function(words, opts)
    local chosen, task = target.goal(words, 2)
    if chosen then
      does(chosen, task, opts)
    end
  end
end

---@type table<string, claudecluster.Subcommand>
M.subcommands = {
  goal = goal,
  goals = function(_, opts)
    require('claudecluster.board').open(opts.smods)
  end,
  show = about(function(id, _, opts)
    require('claudecluster.show').open(id, opts.smods)
  end),
  plan = about(function(id)
    require('claudecluster.plan').open(id)
  end),
  log = about(function(id, task)
    require('claudecluster.log').open(id, task)
  end),
  approve = approve,
  cancel = cancel,
  retry = retry,
  accept = verdict_on('accept'),
  reject = verdict_on('reject'),
  ['reject!'] = reject_with_reason,
  undo = verdict_on('undo'),
  redo = verdict_on('redo'),
  resolve = resolve,
  next = jump(1),
  prev = jump(-1),
  diff = diff,
  toggle = toggle,
  quickfix = list_in('quickfix'),
  loclist = list_in('loclist'),
  changes = list_in('quickfix'),
  pick = pick,
  permissions = permissions,
  health = function()
    vim.cmd.checkhealth('claudecluster')
  end,
}

---@return string[]
function M.names()
  local all = vim.tbl_keys(M.subcommands)
  table.sort(all)
  return all
end

---@param opts table what |nvim_create_user_command()| gives
function M.run(opts)
  local words = vim.deepcopy(opts.fargs)
  local name = table.remove(words, 1) or 'goals'
  local subcommand = M.subcommands[name]
  if not subcommand then
    local message = 'unknown command %q; the commands are %s'
    client.fail(message:format(name, table.concat(M.names(), ', ')))
    return
  end
  subcommand(words, opts)
end

return M
