// The registration inside the group: the identity that may sign in as the application, in managed_identity mode, and the
// application itself.

import { authModeType, functionAppNameOf, identityNameOf, nameOverridesType, redirectUriOf } from 'types.bicep'

@description('Short name of this installation.')
@minLength(2)
@maxLength(24)
param environmentName string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Names for resources that must not get a generated one.')
param nameOverrides nameOverridesType

@description('Where browsers reach the app.')
param publicUrl string

@description('How the app signs in.')
param authMode authModeType

@description('Grants the permissions for the whole tenant.')
param grantAdminConsent bool

var token = uniqueString(resourceGroup().id, environmentName)
var functionAppName = nameOverrides.?functionApp ?? functionAppNameOf(environmentName, token)

// the same that main.bicep makes: who comes second finds it unchanged
module identity 'identity.bicep' = if (authMode == 'managed_identity') {
  params: {
    name: nameOverrides.?identity ?? identityNameOf(environmentName, token)
    location: location
    tags: tags
  }
}

module entra 'entra.bicep' = {
  params: {
    uniqueName: functionAppName
    displayName: 'Business Central connection (${environmentName})'
    redirectUris: authMode == 'authorization_code' ? [redirectUriOf(publicUrl, functionAppName)] : []
    appOnly: authMode != 'authorization_code'
    identityPrincipalId: authMode == 'managed_identity' ? identity!.outputs.principalId : ''
  }
}

module consent 'consent.bicep' = if (grantAdminConsent) {
  params: {
    servicePrincipalId: entra.outputs.servicePrincipalId
    scopes: entra.outputs.scopes
    roleIds: entra.outputs.roleIds
  }
}

@description('Application (client) id.')
output clientId string = entra.outputs.clientId
