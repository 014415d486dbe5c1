// Role assignments of one principal, each at the resource it is for. Nothing is assigned at the group or above.

import { principalType, roleIds } from 'types.bicep'

@description('Object id of the principal.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Kind of the principal.')
param kind principalType

@description('Storage account.')
param storageAccountName string

@description('Key vault.')
param vaultName string

@description('Application Insights component.')
param componentName string

@description('Roles at the storage account, named as in roleIds.')
param storageRoles string[]

@description('Roles at the vault.')
param vaultRoles string[]

@description('Roles at the Application Insights component.')
param componentRoles string[] = []

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageAccountName
}

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: vaultName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource storageAssignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in storageRoles: {
    scope: account
    name: guid(account.id, principalId, roleIds[role])
    properties: {
      principalId: principalId
      principalType: kind
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds[role])
    }
  }
]

resource vaultAssignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in vaultRoles: {
    scope: vault
    name: guid(vault.id, principalId, roleIds[role])
    properties: {
      principalId: principalId
      principalType: kind
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds[role])
    }
  }
]

resource componentAssignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in componentRoles: {
    scope: component
    name: guid(component.id, principalId, roleIds[role])
    properties: {
      principalId: principalId
      principalType: kind
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds[role])
    }
  }
]
