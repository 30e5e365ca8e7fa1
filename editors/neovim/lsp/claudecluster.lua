-- What `vim.lsp.enable('claudecluster')` starts.

---@type vim.lsp.Config
return {
  cmd = { 'claudecluster', 'lsp' },
  root_markers = { '.git' },
  -- A goal is about a workspace: without one there is nothing the server could do.
  workspace_required = true,
  init_options = {
    -- This plugin tells about events itself (lua/claudecluster/events.lua).
    events = true,
    -- It shows pending hunks in the text (lua/claudecluster/pending.lua).
    pending = true,
    -- It has the commands `claudecluster.client.prompt` and `claudecluster.client.reason`, below.
    prompts = true,
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
