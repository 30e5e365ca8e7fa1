-- What `vim.lsp.enable('claudecluster')` starts.

---Whether a file is a goal's plan that the server has written below its state folder.
---@param path string
local function is_plan(path)
  local shown = vim.fs.joinpath(vim.fs.dirname(path), 'shown', vim.fs.basename(path))
  return path:match('%.plan%.json$') ~= nil and vim.uv.fs_stat(shown) ~= nil
end

---@type vim.lsp.Config
return {
  cmd = { 'claudecluster', 'lsp' },
  root_markers = { '.git' },
  root_dir = function(buffer, on_dir)
    local path = vim.api.nvim_buf_get_name(buffer)
    -- A goal's plan is in no workspace: it belongs to the server that has opened it.
    local opened = is_plan(path) and vim.lsp.get_clients({ name = 'claudecluster' })[1]
    local configs = vim.lsp.config --[[@as table<string, vim.lsp.Config>]]
    local root = opened and opened.root_dir
      or vim.fs.root(buffer, configs.claudecluster.root_markers --[[@as string[] ]])
    if root then
      on_dir(root)
    end
  end,
  -- A goal is about a workspace: without one there is nothing the server could do.
  workspace_required = true,
  init_options = {
    -- This plugin tells about events itself (lua/claudecluster/events.lua).
    events = true,
    -- It shows pending hunks in the text (lua/claudecluster/pending.lua).
    pending = true,
    -- It has the commands `claudecluster.client.prompt` and `claudecluster.client.reason`, below.
    prompts = true,
    -- It passes all problems of a buffer on (lua/claudecluster/problems.lua).
    diagnostics = true,
    -- It looks whether the text is the one that an edit is for (lua/claudecluster/edit.lua).
    edits = true,
  },
  handlers = {
    -- Loaded with the configuration: it watches what the user is doing before the first edit comes.
    ['workspace/applyEdit'] = require('claudecluster.edit').apply,
    ['window/showMessage'] = function(_, params)
      local levels = vim.log.levels
      local level = ({ levels.ERROR, levels.WARN, levels.INFO })[params.type] or levels.DEBUG
      require('claudecluster.client').notify(params.message, level)
    end,
    ['window/showDocument'] = function(...)
      -- Not in the place of goals, of a list or of a help page.
      if vim.bo.buftype ~= '' then
        vim.cmd.split()
      end
      return vim.lsp.handlers['window/showDocument'](...)
    end,
    ['claudecluster/event'] = function(_, item)
      require('claudecluster.events').on_event(item)
    end,
    ['claudecluster/pending'] = function(_, told)
      require('claudecluster.pending').on_pending(told)
    end,
  },
  commands = {
    ['claudecluster.client.prompt'] = function(command)
      local selection = command.arguments[1]
      require('claudecluster').goal('', { uri = selection.uri, range = selection.range })
    end,
    ['claudecluster.client.reason'] = function(command)
      local asked = command.arguments[1]
      require('claudecluster.prompt').why(asked.prompt, function(reason)
        asked.argument.reason = reason
        require('claudecluster.client').command(asked.command, asked.argument)
      end)
    end,
    -- The server's own, which would open a file.
    ['claudecluster.hunk.diff'] = function(command)
      require('claudecluster.diff').here(command.arguments[1].hunkId)
    end,
  },
}
