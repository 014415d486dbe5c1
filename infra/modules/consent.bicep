// Optional: consent for the whole tenant; needs the role Privileged Role Administrator. A module of its own, so that
// Business Central's service principal is looked up only when consent is asked for: a tenant may not have it yet.

extension microsoftGraphV1

@description('Object id of the service principal that gets the permissions.')
param servicePrincipalId string

@description('Delegated permissions, by name.')
param scopes string[]

@description('Ids of application permissions.')
param roleIds string[]

// Dynamics 365 Business Central, the same in every tenant
var businessCentralAppId = '996def3d-b36c-4153-8607-a6fd3c01b89f'

resource businessCentral 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: businessCentralAppId
}

resource applicationConsent 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [
  for roleId in roleIds: {
    appRoleId: roleId
    principalId: servicePrincipalId
    resourceId: businessCentral.id
  }
]

resource delegatedConsent 'Microsoft.Graph/oauth2PermissionGrants@v1.0' = if (!empty(scopes)) {
  clientId: servicePrincipalId
  consentType: 'AllPrincipals'
  resourceId: businessCentral.id
  scope: join(scopes, ' ')
}
