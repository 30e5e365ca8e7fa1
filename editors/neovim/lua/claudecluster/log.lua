-- What the workers of a goal did and said.

local client = require('claudecluster.client')

local M = {}

---@param name string
---@param lines string[]
local function show(name, lines)
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].filetype = 'claudecluster-log'
  vim.cmd({ cmd = 'sbuffer', args = { buffer }, mods = { split = 'botright' } })
  vim.wo.winbar = name:gsub('%%', '%%%%')
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer, desc = 'Close' })
end

---@param goal string
---@param task? string
function M.open(goal, task)
  local program = client.program()
  if not program then
    client.fail('no log: the server was not started as a program')
    return
  end
  local command = vim.list_extend({ program, 'logs', goal }, { task })
  local server = client.find()
  vim.system(command, { text = true, cwd = server and server.root_dir }, function(result)
    vim.schedule(function()
      if result.code ~= 0 then
        client.fail(vim.trim(result.stderr or ''))
      else
        show(
          'log of ' .. goal .. (task and '/' .. task or ''),
          vim.split(vim.trim(result.stdout or ''), '\n')
        )
      end
    end)
  end)
end

return M
