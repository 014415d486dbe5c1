// The identity that the app runs as. It exists before the app, so that its roles have spread when the app first starts,
// and it can be federated with the Entra application (a system-assigned identity cannot).

@description('Name of the identity.')
param name string

@description('Region.')
param location string

@description('Tags.')
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Resource id, for the site and its package storage.')
output id string = identity.id

@description('Client id, for settings.')
output clientId string = identity.properties.clientId

@description('Principal (object) id, for role assignments and the federated credential.')
output principalId string = identity.properties.principalId
