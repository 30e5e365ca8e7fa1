-- Somebody at a keyboard: presses keys in real Neovims, through their input queue, at a steady pace. An
-- editor runs in a terminal of its own and is looked at over its socket, so nothing that happens in it
-- waits for the script, and the script waits for nothing but what it looks at.

local repository = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/../../..'

local M = {}

-- Twenty keys a second.
local PAUSE = 50
-- Real sessions on a busy machine take their time.
local PATIENCE = 120000

---What an editor does once it has started, beside what its user configures.
local SETUP = [[
  _G.told = {}
  local message = require('claudecluster.message')
  local show = message.show
  message.show = function(text, level)
    table.insert(_G.told, text)
    show(text, level)
  end
  _G.pending = { count = 0, hunks = {} }
  local pending = require('claudecluster.pending')
  local on_pending = pending.on_pending
  pending.on_pending = function(news)
    _G.pending = { count = _G.pending.count + 1, hunks = news.hunks }
    on_pending(news)
  end
  -- Where there is a choice, the first.
  vim.ui.select = function(items, _, choose)
    choose(items[1])
  end
  if vim.lsp.enable then
    vim.lsp.enable('claudecluster')
  else
    require('claudecluster').setup()
  end
  local keys = {
    ['<F5>'] = function()
      vim.lsp.buf.code_action({
        apply = true,
        filter = function(action)
          return vim.startswith(action.title, 'Accept change from')
        end,
      })
    end,
    ['<F6>'] = '<Cmd>ClaudeCluster accept<CR>',
    ['<F7>'] = '<Cmd>ClaudeCluster reject<CR>',
  }
  for key, does in pairs(keys) do
    vim.keymap.set({ 'n', 'i' }, key, does)
  end
]]

---@class e2e.Editor
---@field channel integer
---@field terminal integer
local Editor = {}
Editor.__index = Editor

---@type e2e.Editor[]
local editors = {}

---Starts an editor.
---@param workspace string
---@return e2e.Editor
function M.editor(workspace)
  local socket = vim.fn.tempname()
  local terminal = vim.fn.jobstart({
    vim.v.progpath,
    '--clean',
    '-i',
    'NONE',
    '-n',
    '--listen',
    socket,
    '--cmd',
    'set hidden shortmess+=I runtimepath^=' .. repository .. '/editors/neovim',
  }, {
    pty = true,
    -- Narrow: messages do not fit.
    width = 60,
    height = 40,
    cwd = workspace,
    env = { TERM = 'xterm-256color' },
    on_stdout = function() end,
  })
  assert(terminal > 0, 'Neovim does not start')
  local channel
  assert(
    vim.wait(PATIENCE, function()
      local there, found = pcall(vim.fn.sockconnect, 'pipe', socket, { rpc = true })
      channel = there and found
      return there and found > 0
    end, 20),
    'Neovim does not listen'
  )
  local editor = setmetatable({ channel = channel, terminal = terminal }, Editor)
  table.insert(editors, editor)
  -- It listens before it is ready, and what is opened too early has no file type.
  M.eventually('Neovim has started', function()
    return editor:run('return vim.v.vim_did_enter == 1')
  end)
  editor:run(SETUP)
  return editor
end

---Runs Lua in the editor and gives what it returns.
---@param code string
function Editor:run(code, ...)
  return vim.rpcrequest(self.channel, 'nvim_exec_lua', code, { ... })
end

---Opens a file and waits until the server has it.
---@param path string
function Editor:open(path)
  self:run('vim.cmd.edit(vim.fn.fnameescape(...))', path)
  M.eventually('the server is attached to ' .. path, function()
    return self:run([[
      local client = vim.lsp.get_clients({ bufnr = 0, name = 'claudecluster' })[1]
      return client ~= nil and client.initialized
    ]])
  end)
end

---The current buffer's text.
---@return string
function Editor:text()
  return self:run([[return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')]])
end

---Whether a message with this part was shown.
---@param part string
---@return boolean
function Editor:told(part)
  return self:run(
    [[
      local part = ...
      return vim.iter(_G.told):any(function(message)
        return message:find(part, 1, true) ~= nil
      end)
    ]],
    part
  )
end

---Returns once the server has everything that has been typed: a change is told a moment later, but before
---the next request.
function Editor:told_all()
  self:pending()
end

---The pending hunks of every file, as the server has them.
---@return table[]
function Editor:pending()
  return self:run([[
    local wait = require('claudecluster.client').wait
    local found = {}
    for _, document in ipairs(wait('claudecluster/changes', vim.empty_dict(), 60000).documents) do
      vim.list_extend(found, document.hunks)
    end
    return found
  ]])
end

---What the plugin has drawn in the current buffer.
---@return table[]
function Editor:marks()
  return self:run([[
    local ns = vim.api.nvim_create_namespace('claudecluster')
    return vim.api.nvim_buf_get_extmarks(0, ns, 0, -1, {})
  ]])
end

---The hunks the plugin was told of last for the current buffer.
---@return table[]
function Editor:shown()
  return self:run('return _G.pending.hunks')
end

---How often the server has told of pending hunks.
---@return integer
function Editor:told_pending()
  return self:run('return _G.pending.count')
end

---Takes the editor from its server, so that what it does from now on is nobody's business.
function Editor:detach()
  self:run([[
    for _, client in ipairs(vim.lsp.get_clients()) do
      client.stop(vim.fn.has('nvim-0.11') == 1 and client or nil)
    end
  ]])
  M.eventually('the server is gone', function()
    return self:run('return #vim.lsp.get_clients() == 0')
  end)
end

local next_key = 0

---Presses these keys, one after the other: `<Esc>` is one, and so is every other character.
---@param keys string
function Editor:type(keys)
  local at = 1
  while at <= #keys do
    local key = keys:match('^<[%w-]+>', at) or keys:match('^[%z\1-\127\194-\244][\128-\191]*', at)
    at = at + #key
    local now = vim.uv.hrtime() / 1e6
    if next_key > now then
      vim.wait(next_key - now, function()
        return false
      end, 1000)
    end
    next_key = math.max(next_key, now - PAUSE) + PAUSE
    vim.rpcnotify(self.channel, 'nvim_input', key == '<' and '<lt>' or key)
    M.keys = M.keys + 1
  end
end

---How many keys have been pressed.
M.keys = 0

---The number of the first line with this part.
---@param lines string[]
---@param part string
---@return integer
function M.line_with(lines, part)
  for at, line in ipairs(lines) do
    if line:find(part, 1, true) then
      return at
    end
  end
  error('no line has ' .. part)
end

---Fails with what is in every editor.
---@param condition any
---@param message string
function M.check(condition, message)
  if condition then
    return
  end
  local found = {}
  for number, editor in ipairs(editors) do
    table.insert(found, ('--- editor %d\n%s'):format(number, editor:text()))
    table.insert(found, table.concat(editor:run('return _G.told'), '\n'))
    table.insert(found, editor:run("return vim.fn.execute('messages')"))
  end
  error(message .. '\n' .. table.concat(found, '\n'), 2)
end

---Waits for what happens elsewhere.
---@param what string
---@param condition fun(): boolean
---@param meanwhile? fun() what is done between two looks, instead of waiting
function M.eventually(what, condition, meanwhile)
  local deadline = vim.uv.hrtime() / 1e6 + PATIENCE
  while not condition() do
    M.check(vim.uv.hrtime() / 1e6 < deadline, 'never happened: ' .. what)
    if meanwhile then
      meanwhile()
    else
      vim.wait(20, function()
        return false
      end, 1000)
    end
  end
end

---Runs the command line client. Returns at once; `done` is set when it has ended.
---@param args string[]
---@return { done: vim.SystemCompleted? }
function M.cli(args)
  local job = {}
  vim.system(vim.list_extend({ 'claudecluster' }, args), { text = true }, function(result)
    job.done = result
  end)
  return job
end

---Runs the command line client to its end.
---@param args string[]
---@return vim.SystemCompleted
function M.run(args)
  local job = M.cli(args)
  M.eventually(table.concat(args, ' '), function()
    return job.done ~= nil
  end)
  return job.done
end

---Runs a goal of one command to its end; the n-th is gn.
---@param workspace string
---@param script string
---@return vim.SystemCompleted
function M.goal(workspace, script, ...)
  local plan = vim.fs.dirname(workspace) .. '/plan.json'
  local task = { id = 't', run = script }
  vim.fn.writefile({ vim.json.encode({ goal = 'test', tasks = { task } }) }, plan)
  return M.run({ 'run', '--json', '--plan', plan, ... })
end

---Runs a script and ends with its error, whole: Neovim shortens long ones.
---@param script fun()
function M.main(script)
  local done, why = xpcall(script, debug.traceback)
  M.close()
  if not done then
    io.stderr:write(why, '\n')
    os.exit(1)
  end
end

---Ends the editors.
function M.close()
  for _, editor in ipairs(editors) do
    pcall(vim.rpcnotify, editor.channel, 'nvim_command', 'qall!')
    vim.fn.jobwait({ editor.terminal }, PATIENCE)
  end
end

return M
