-- :checkhealth claudecluster

local client = require('claudecluster.client')
local server = require('claudecluster.server')

local M = {}

local health = vim.health

---@return boolean
local function check_neovim()
  if vim.fn.has('nvim-0.10') == 0 then
    health.error('Neovim 0.10 or newer is required', { 'Install a newer Neovim' })
    return false
  end
  local version = vim.version --[[@as fun(): vim.Version]]
  health.ok('Neovim ' .. tostring(version()))
  if not server.is_native() then
    health.info('Neovim 0.10 has no vim.lsp.enable(); setup() starts the server')
  end
  return true
end

---@return string? program, string? version
local function check_program()
  local cmd = server.config().cmd
  if type(cmd) == 'function' then
    health.info('your configuration connects to the server with a function')
    return
  end
  local program = cmd and cmd[1]
  if not program then
    health.error('the server configuration has no cmd')
    return
  end
  if vim.fn.executable(program) == 0 then
    health.error(('%s is not an executable on PATH'):format(program), {
      'cargo install --path server/cli',
      "or set its path: require('claudecluster').setup({ cmd = { '/path/to/claudecluster', 'lsp' } })",
    })
    return
  end
  local result = vim.system({ program, '--version' }, { text = true, timeout = 5000 }):wait()
  if result.code ~= 0 then
    health.error(('%s --version failed: %s'):format(program, vim.trim(result.stderr or '')), {
      ('Run %s doctor in a terminal'):format(program),
    })
    return
  end
  local version = vim.trim(result.stdout or '')
  health.ok(('%s (%s)'):format(version, vim.fn.exepath(program)))
  return program, version:match('%S+$')
end

---@param program string
---@param version string?
local function check_daemon(program, version)
  local command = { program, 'daemon', 'status', '--json' }
  local result = vim.system(command, { text = true, timeout = 10000 }):wait()
  local read, status = pcall(vim.json.decode, result.stdout or '')
  if result.code ~= 0 or not read or type(status) ~= 'table' or not status.pid then
    health.info('no daemon is running; it starts with the first file in a git repository')
  elseif version and status.version ~= version then
    health.warn(
      ('the daemon is version %s, but the program is version %s'):format(status.version, version),
      {
        ('Run %s daemon stop; the next command starts the right version'):format(program),
      }
    )
  else
    health.ok(('the daemon is running (process %d, version %s)'):format(status.pid, status.version))
  end
end

---@param version string?
local function check_clients(version)
  if not server.is_enabled() then
    local call = server.is_native() and "vim.lsp.enable('claudecluster')"
      or "require('claudecluster').setup()"
    health.warn('the server is not enabled', { call })
  end
  local clients = client.all()
  if #clients == 0 then
    health.info('no buffer is attached; open a file in a git repository')
  end
  for _, attached in ipairs(clients) do
    local info = attached.server_info or {}
    local where = attached.root_dir or attached.config.root_dir or 'no folder'
    health.ok(('attached in %s (server %s)'):format(where, info.version or '?'))
    if version and info.version and info.version ~= version then
      health.warn(('the server is not the program on PATH, which is version %s'):format(version), {
        'Restart Neovim',
      })
    end
  end
end

local function check_settings()
  local settings = (server.config().settings or {}).claudecluster --[[@as table?]]
  if settings and next(settings) then
    health.info('settings: ' .. vim.inspect(settings, { newline = ' ', indent = '' }))
  else
    health.info('using default settings')
  end
  local hunks, files, visible = require('claudecluster.pending').count()
  local shown = visible and 'shown' or 'hidden; :ClaudeCluster toggle shows them'
  local count = require('claudecluster.text').count
  health.info(
    ('%s in %s, %s'):format(count(hunks, 'pending change'), count(files, 'buffer'), shown)
  )
end

function M.check()
  health.start('ClaudeCluster')
  if not check_neovim() then
    return
  end
  local program, version = check_program()
  if program then
    check_daemon(program, version)
  end
  check_clients(version)
  check_settings()
end

return M
