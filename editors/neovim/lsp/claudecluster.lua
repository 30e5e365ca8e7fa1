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
    -- It has the command `claudecluster.client.prompt` (lua/claudecluster/init.lua).
    prompts = true,
  },
  handlers = {
    -- Loaded with the configuration: it watches what the user is doing before the first edit comes.
    ['workspace/applyEdit'] = require('claudecluster.edit').apply,
    ['claudecluster/event'] = function(_, item)
      require('claudecluster.events').on_event(item)
    end,
  },
  commands = {
    ['claudecluster.client.prompt'] = function(command)
      local selection = command.arguments[1]
      require('claudecluster').goal('', { uri = selection.uri, range = selection.range })
    end,
  },
}
