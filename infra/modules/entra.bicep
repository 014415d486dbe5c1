// Optional: the application registration for Business Central, by the Microsoft Graph extension (public cloud only).
// Graph resources are not removed when they leave the template.

extension microsoftGraphV1

@description('Key of the registration in the tenant; it cannot be changed later.')
param uniqueName string

@description('Name that people see on the consent page.')
param displayName string

@description('Where the login returns to: <public URL>/api/connect/callback.')
@minLength(9)
param redirectUri string

@description('Principal id of the identity that may sign in as this application without a secret.')
param identityPrincipalId string

@description('Grants the permissions for the whole tenant; needs the role Privileged Role Administrator.')
param grantAdminConsent bool

// Dynamics 365 Business Central, the same in every tenant
var businessCentralAppId = '996def3d-b36c-4153-8607-a6fd3c01b89f'
var delegatedPermissions = {
  user_impersonation: 'bce0976a-cb0b-473b-8800-84eda9f8e447'
  'Financials.ReadWrite.All': '2fb13c28-9d89-417f-9af2-ec3065bc16e6'
}
var applicationPermissions = {
  'API.ReadWrite.All': 'a42b0b75-311e-488d-b67e-8fe84f924341'
}

resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  signInAudience: 'AzureADMyOrg'
  web: {
    redirectUris: [redirectUri]
    implicitGrantSettings: {
      enableAccessTokenIssuance: false
      enableIdTokenIssuance: false
    }
  }
  requiredResourceAccess: [
    {
      resourceAppId: businessCentralAppId
      resourceAccess: concat(
        map(items(delegatedPermissions), permission => { id: permission.value, type: 'Scope' }),
        map(items(applicationPermissions), permission => { id: permission.value, type: 'Role' })
      )
    }
  ]

  resource federation 'federatedIdentityCredentials@v1.0' = {
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

resource businessCentral 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: businessCentralAppId
}

resource applicationConsent 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [
  for permission in items(applicationPermissions): if (grantAdminConsent) {
    appRoleId: permission.value
    principalId: servicePrincipal.id
    resourceId: businessCentral.id
  }
]

resource delegatedConsent 'Microsoft.Graph/oauth2PermissionGrants@v1.0' = if (grantAdminConsent) {
  clientId: servicePrincipal.id
  consentType: 'AllPrincipals'
  resourceId: businessCentral.id
  scope: join(objectKeys(delegatedPermissions), ' ')
}

@description('Application (client) id.')
output clientId string = application.appId
