-- Talking to the server.

local M = {}

local NAME = 'claudecluster'

-- How long a command waits for a server that is starting, in milliseconds. A daemon that is not up yet takes
-- a fifth of a second; one that does not come within this has a fault that is told by itself.
local STARTING = 5000

-- 0.10 has the functions of a client as fields, not as methods.
local methods = vim.fn.has('nvim-0.11') == 1

---@param message string
---@param level? integer
function M.notify(message, level)
  require('claudecluster.message').show('ClaudeCluster: ' .. message, level)
end

---@param message string
function M.fail(message)
  M.notify(message, vim.log.levels.ERROR)
end

---The server's clients, one for each workspace.
---@return vim.lsp.Client[]
function M.all()
  return vim.lsp.get_clients({ name = NAME })
end

---The server's client: that of the current buffer, else any.
---@return vim.lsp.Client?
function M.find()
  return vim.lsp.get_clients({ bufnr = 0, name = NAME })[1] or M.all()[1]
end

---Servers that have not said yet what they can do, too.
local function begun()
  return vim.lsp.get_clients({ name = NAME, _uninitialized = true })
end

---Waits for a server that is starting.
local function settle()
  -- What is enabled is started by Neovim when it has nothing else to do.
  vim.wait(10, function()
    return #begun() > 0
  end, 1)
  vim.wait(STARTING, function()
    return #M.all() > 0 or #begun() == 0
  end, 10)
end

---The server's client, once it has started. Tells the user when there is none.
---@return vim.lsp.Client?
function M.get()
  local client = M.find()
  if not client then
    settle()
    client = M.find()
  end
  if not client then
    local call = methods and "vim.lsp.enable('claudecluster')" or "require('claudecluster').setup()"
    M.fail(
      ('no server is running: call %s in your configuration, '):format(call)
        .. 'open a file in a git repository, and see :checkhealth claudecluster'
    )
  end
  return client
end

---Sends a request to one client, whatever the version of Neovim.
---@param client vim.lsp.Client
---@param method string
---@param params table
---@param handler fun(err: lsp.ResponseError?, result: any)
---@param buffer? integer
---@return boolean # whether it was sent
function M.send(client, method, params, handler, buffer)
  if methods then
    return (client:request(method, params, handler, buffer))
  end
  ---@diagnostic disable-next-line: param-type-mismatch
  return (client.request(method, params, handler, buffer))
end

---Sends a request and waits, for what cannot be done later: completion of a command.
---@param method string
---@param params table
---@param patience? integer milliseconds
---@return any? result
function M.wait(method, params, patience)
  local client = M.find()
  if not client then
    return nil
  end
  -- For no buffer, so that what has been typed in any is told first: 0 is not the current one there.
  local reply
  if methods then
    reply = client:request_sync(method, params, patience or 1000)
  else
    ---@diagnostic disable-next-line: param-type-mismatch
    reply = client.request_sync(method, params, patience or 1000)
  end
  return reply and reply.result
end

---@param client vim.lsp.Client
---@param method string
---@param params table
function M.tell(client, method, params)
  if methods then
    client:notify(method, params)
  else
    ---@diagnostic disable-next-line: param-type-mismatch
    client.notify(method, params)
  end
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
  local sent = M.send(client, method, params, function(err, result)
    if err then
      M.fail(err.message)
    elseif done then
      done(result)
    end
  end)
  if not sent then
    M.fail('the server has stopped; restart it with :edit')
  end
  return sent
end

---@param name string
---@param argument table
---@return lsp.ExecuteCommandParams
function M.call(name, argument)
  if vim.tbl_isempty(argument) then
    argument = vim.empty_dict()
  end
  return { command = name, arguments = { argument } }
end

---@param name string
---@param argument table
---@param done? fun(result: any)
---@return boolean
function M.command(name, argument, done)
  return M.request('workspace/executeCommand', M.call(name, argument), done)
end

---Whether the server has a command.
---@param client vim.lsp.Client
---@param name string
---@return boolean
function M.has(client, name)
  local provider = client.server_capabilities and client.server_capabilities.executeCommandProvider
  return provider ~= nil and vim.list_contains(provider.commands or {}, name)
end

---The program that is the server, where it is started as one.
---@return string?
function M.program()
  for _, client in ipairs(M.all()) do
    if type(client.config.cmd) == 'table' then
      return client.config.cmd[1]
    end
  end
  local cmd = require('claudecluster.server').config().cmd
  return type(cmd) == 'table' and cmd[1] or nil
end

---The address of a file that is named relative to the workspace.
---@param file string
---@return string
function M.uri(file)
  local client = M.find()
  if client and client.root_dir and not vim.startswith(file, '/') then
    file = vim.fs.joinpath(client.root_dir, file)
  end
  return vim.uri_from_fname(file)
end

return M
