-- :checkhealth claudecluster

local M = {}

function M.check()
  vim.health.start('ClaudeCluster')
  if vim.fn.has('nvim-0.11') == 1 then
    vim.health.ok('Neovim ' .. tostring(vim.version()))
  else
    vim.health.error('Neovim 0.11 or newer is needed', { 'Install a newer Neovim' })
    return
  end

  local config = vim.lsp.config.claudecluster
  local cmd = config and type(config.cmd) == 'table' and config.cmd or { 'claudecluster' }
  local program = cmd[1] --[[@as string]]
  if vim.fn.executable(program) == 0 then
    vim.health.error(('%s is not an executable on PATH'):format(program), {
      'cargo install --path server/cli',
      "or name it: vim.lsp.config('claudecluster', { cmd = { '/path/to/claudecluster', 'lsp' } })",
    })
    return
  end
  local result = vim.system({ program, '--version' }, { text = true, timeout = 5000 }):wait()
  if result.code == 0 then
    vim.health.ok(('%s (%s)'):format(vim.trim(result.stdout), vim.fn.exepath(program)))
  else
    vim.health.error(('%s --version failed: %s'):format(program, vim.trim(result.stderr or '')), {
      ('Run %s doctor in a terminal'):format(program),
    })
  end

  if not vim.lsp.is_enabled('claudecluster') then
    vim.health.warn('the server is not enabled', { "vim.lsp.enable('claudecluster')" })
  end
  for _, client in ipairs(vim.lsp.get_clients({ name = 'claudecluster' })) do
    local info = client.server_info or {}
    vim.health.info(
      ('attached in %s (server %s)'):format(client.root_dir or 'no folder', info.version or '?')
    )
  end
  local hunks, files, visible = require('claudecluster.pending').count()
  local shown = visible and 'shown' or 'hidden; :ClaudeCluster toggle shows them'
  vim.health.info(('%d pending in %d buffer(s), %s'):format(hunks, files, shown))
end

return M
