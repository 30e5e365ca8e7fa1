-- Talking to the server.

local M = {}

local NAME = 'claudecluster'

---Shows messages without the prompt for a key that comes where they are wider than the screen: it would
---take the keys of somebody who is typing. All of a message is in |:messages|.
---@generic T
---@param show fun(...): T
---@return T
function M.without_prompt(show, ...)
  local before = vim.o.messagesopt
  vim.o.messagesopt = before:gsub('hit%-enter', 'wait:0')
  local shown, result = pcall(show, ...)
  vim.o.messagesopt = before
  if not shown then
    error(result, 0)
  end
  return result
end

---@param message string
---@param level? integer
function M.notify(message, level)
  M.without_prompt(vim.notify, 'ClaudeCluster: ' .. message, level or vim.log.levels.INFO)
end

---The server's client: that of the current buffer, else any.
---@return vim.lsp.Client?
function M.find()
  return vim.lsp.get_clients({ bufnr = 0, name = NAME })[1]
    or vim.lsp.get_clients({ name = NAME })[1]
end

---The server's client. Tells the user when there is none.
---@return vim.lsp.Client?
function M.get()
  local client = M.find()
  if not client then
    M.notify(
      "no server is running; call vim.lsp.enable('claudecluster') in your configuration, "
        .. 'open a file of a git repository, and see :checkhealth claudecluster',
      vim.log.levels.ERROR
    )
  end
  return client
end

---@param method string
---@param params table
---@param done? fun(result: any)
---@return boolean # whether it was sent
function M.request(method, params, done)
  local client = M.get()
  if not client then
    return false
  end
  local sent = client:request(method, params, function(err, result)
    if err then
      M.notify(err.message, vim.log.levels.ERROR)
    elseif done then
      done(result)
    end
  end)
  if not sent then
    M.notify('the server has stopped; :edit starts it again', vim.log.levels.ERROR)
  end
  return sent
end

---@param name string
---@param argument table
---@param done? fun(result: any)
---@return boolean
function M.command(name, argument, done)
  if vim.tbl_isempty(argument) then
    argument = vim.empty_dict()
  end
  local params = { command = name, arguments = { argument } }
  return M.request('workspace/executeCommand', params, done)
end

return M
