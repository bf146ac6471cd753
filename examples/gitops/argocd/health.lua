-- Health of a MailConnection for Argo CD: argocd-cm, key resource.customizations.health.mailfetch.dev_MailConnection.
-- What is disabled, or waits for a person's approval, is as declared: Healthy, so that syncs and waves do not wait for it.
local hs = {}
local status = obj.status or {}
local ready
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then ready = condition end
end
if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"
  hs.message = "Waiting for the operator"
  return hs
end
hs.message = ready.reason .. ": " .. (ready.message or "")
if ready.status == "True" then
  hs.status = ready.reason == "Suspended" and "Suspended" or "Healthy"
elseif ready.status == "False" or ready.reason == "FetcherLost" then
  hs.status = "Degraded"
else
  hs.status = "Progressing"
end
return hs
