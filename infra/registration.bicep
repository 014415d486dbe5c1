// Optional and on its own: the application registration for Business Central. It is a deployment before the first one of
// main.bicep, made once by somebody with rights in the directory; its output is the parameter bcClientId of main.bicep.
// Only this file and its modules ask the registry for the Microsoft Graph types, so that main.bicep compiles without it.

targetScope = 'subscription'

import { authModeType, nameOverridesType } from 'modules/types.bicep'

@description('Short name of this installation, as in main.bicep.')
@minLength(2)
@maxLength(24)
param environmentName string

@description('Region, as in main.bicep.')
@minLength(4)
param location string

@description('Resource group, as in main.bicep; created when it does not exist.')
@minLength(1)
@maxLength(90)
param resourceGroupName string = 'rg-${environmentName}'

@description('Tags, as in main.bicep.')
param tags object = {}

@description('Names, as in main.bicep.')
param nameOverrides nameOverridesType = {}

@description('Where browsers reach the app, as in main.bicep.')
@minLength(9)
param publicUrl string = 'https://%WEBSITE_HOSTNAME%'

@description('How the app signs in; the registration gets the permissions of this mode and no others.')
param bcAuthMode authModeType = 'authorization_code'

@description('Grants the permissions for the whole tenant; needs Privileged Role Administrator.')
param grantAdminConsent bool = false

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: resourceGroupName
  location: location
  tags: union(tags, { 'azd-env-name': environmentName })
}

module connectApp 'modules/connect_app.bicep' = {
  scope: group
  params: {
    environmentName: environmentName
    location: location
    tags: union(tags, { 'azd-env-name': environmentName })
    nameOverrides: nameOverrides
    publicUrl: publicUrl
    authMode: bcAuthMode
    grantAdminConsent: grantAdminConsent
  }
}

@description('Application (client) id: the parameter bcClientId of main.bicep.')
output BC_CLIENT_ID string = connectApp.outputs.clientId
