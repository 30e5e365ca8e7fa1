-- What workers ask for. A question never takes keys: it is a notice, until the user wants to answer.

local client = require('claudecluster.client')
local text = require('claudecluster.text')

local M = {}

---The open questions, oldest first.
---@type claudecluster.Permission[]
local open = {}

---@class claudecluster.Answer
---@field label string
---@field decision 'allow'|'deny'
---@field scope? 'once'|'task'|'goal'|'always'
---@field asks? boolean whether a reason is asked for

---@type claudecluster.Answer[]
local answers = {
  { label = 'Allow once', decision = 'allow', scope = 'once' },
  { label = 'Allow for the task', decision = 'allow', scope = 'task' },
  { label = 'Allow for the goal', decision = 'allow', scope = 'goal' },
  { label = 'Always allow this host', decision = 'allow', scope = 'always' },
  { label = 'Deny', decision = 'deny', scope = 'once' },
  { label = 'Deny with a reason', decision = 'deny', scope = 'once', asks = true },
}

---@return claudecluster.Permission[]
function M.open()
  return vim.deepcopy(open)
end

---Whether a request is about a host of the network: only that can be allowed for always.
---@param request claudecluster.Permission
---@return boolean
local function is_about_host(request)
  return request.tool == 'Network'
end

---@param request claudecluster.Permission
---@return string
function M.describe(request)
  local who = table.concat(request.taskIds or {}, ', ')
  local goal = request.goalId .. (who ~= '' and '/' .. who or '')
  return ('%s: %s %s'):format(goal, request.tool, (request.detail:gsub('%s+', ' ')))
end

---@param id string
local function forget(id)
  open = vim.tbl_filter(function(request)
    return request.id ~= id
  end, open)
end

---@param event table
---@return boolean # whether it was about permissions
function M.on_event(event)
  if event.type == 'permissionAsked' then
    -- More tasks may come to wait for the same; that is no news.
    local known = vim.iter(open):any(function(request)
      return request.id == event.request.id
    end)
    forget(event.request.id)
    table.insert(open, event.request)
    if not known then
      client.notify(
        ('%s: permission requested; answer with :ClaudeCluster permissions'):format(
          M.describe(event.request)
        ),
        vim.log.levels.WARN
      )
    end
  elseif event.type == 'permissionAnswered' or event.type == 'permissionWithdrawn' then
    forget(event.requestId)
  elseif
    event.type == 'goalChanged' and vim.list_contains({ 'failed', 'cancelled' }, event.state)
  then
    open = vim.tbl_filter(function(request)
      return request.goalId ~= event.goalId
    end, open)
    return false
  else
    return false
  end
  return true
end

---Asks the server what is open: what was asked before this editor came is not told again.
---@param done fun(requests: claudecluster.Permission[])
function M.load(done)
  client.command('claudecluster.permission.list', {}, function(requests)
    open = requests
    done(requests)
  end)
end

---The same for a server that has just come, which need not know of permissions.
---@param server vim.lsp.Client
function M.attach(server)
  local name = 'claudecluster.permission.list'
  if not client.has(server, name) then
    return
  end
  local params = client.call(name, {})
  client.send(server, 'workspace/executeCommand', params, function(err, requests)
    for _, request in ipairs(not err and requests or {}) do
      forget(request.id)
      table.insert(open, request)
    end
    if #open > 0 then
      local ask = text.count(#open, 'open permission request')
      client.notify(ask .. '; answer with :ClaudeCluster permissions', vim.log.levels.WARN)
    end
  end)
end

---@param request string its id
---@param decision 'allow'|'deny'
---@param scope? 'once'|'task'|'goal'|'always'
---@param reason? string
function M.answer(request, decision, scope, reason)
  client.command('claudecluster.permission.answer', {
    requestId = request,
    decision = decision,
    scope = scope or 'once',
    reason = reason,
  })
end

---@param request claudecluster.Permission
local function ask(request)
  local question = ('%s (%s)'):format(
    M.describe(request),
    text.duration(text.now() - request.askedAt)
  )
  local fitting = vim.tbl_filter(function(answer)
    return answer.scope ~= 'always' or is_about_host(request)
  end, answers)
  vim.ui.select(fitting, {
    prompt = question,
    kind = 'claudecluster.permission',
    format_item = function(answer)
      return answer.label
    end,
  }, function(answer)
    if not answer then
      return
    end
    if not answer.asks then
      M.answer(request.id, answer.decision, answer.scope)
      return
    end
    require('claudecluster.prompt').why('Reason for denying:', function(reason)
      M.answer(request.id, answer.decision, answer.scope, reason)
    end)
  end)
end

---Lists what workers ask for, and takes the answers.
function M.choose()
  M.load(function(requests)
    if #requests == 0 then
      client.notify('no open permission requests')
    elseif #requests == 1 then
      ask(requests[1])
    else
      vim.ui.select(requests, {
        prompt = 'Answer request:',
        kind = 'claudecluster.permission',
        format_item = M.describe,
      }, function(request)
        if request then
          ask(request)
        end
      end)
    end
  end)
end

return M
