// The application registration, by the Microsoft Graph extension (public cloud only). Graph resources are not removed when
// they leave the template.

extension microsoftGraphV1

@description('Key of the registration in the tenant; it cannot be changed later.')
param uniqueName string

@description('Name that people see on the consent page.')
param displayName string

@description('Where a login returns to; none when no person logs in.')
param redirectUris string[]

@description('Asks for application permissions, which need no person, instead of delegated ones.')
param appOnly bool

@description('Principal id of the identity that may sign in as this application without a secret; empty for none.')
param identityPrincipalId string

// Dynamics 365 Business Central, the same in every tenant
var businessCentralAppId = '996def3d-b36c-4153-8607-a6fd3c01b89f'
var delegatedPermissions = {
  user_impersonation: 'bce0976a-cb0b-473b-8800-84eda9f8e447'
  'Financials.ReadWrite.All': '2fb13c28-9d89-417f-9af2-ec3065bc16e6'
}
var applicationPermissions = {
  'API.ReadWrite.All': 'a42b0b75-311e-488d-b67e-8fe84f924341'
}
var permissions = appOnly
  ? map(items(applicationPermissions), permission => { id: permission.value, type: 'Role' })
  : map(items(delegatedPermissions), permission => { id: permission.value, type: 'Scope' })

resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  signInAudience: 'AzureADMyOrg'
  web: {
    redirectUris: redirectUris
    implicitGrantSettings: {
      enableAccessTokenIssuance: false
      enableIdTokenIssuance: false
    }
  }
  requiredResourceAccess: [
    {
      resourceAppId: businessCentralAppId
      resourceAccess: permissions
    }
  ]

  resource federation 'federatedIdentityCredentials@v1.0' = if (!empty(identityPrincipalId)) {
    name: '${application.uniqueName}/function-app'
    description: 'The function app signs in as this application with its managed identity'
    issuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
    subject: identityPrincipalId
    audiences: ['api://AzureADTokenExchange']
  }
}

resource servicePrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: application.appId
}

@description('Application (client) id.')
output clientId string = application.appId

@description('Object id of its service principal.')
output servicePrincipalId string = servicePrincipal.id

@description('Delegated permissions it asks for, by name; none when it signs in by itself.')
output scopes string[] = appOnly ? [] : objectKeys(delegatedPermissions)

@description('Ids of the application permissions it asks for; none when a person signs in.')
output roleIds string[] = appOnly ? map(items(applicationPermissions), permission => permission.value) : []
