// Role assignments of one principal, each at the resource it is for. Nothing is assigned at the group or above.

import { roleIds } from 'types.bicep'

@description('Object id of the principal.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Kind of the principal: User, Group or ServicePrincipal; empty lets Azure look it up.')
param kind string

@description('Storage account.')
param storageAccountName string

@description('Key vaults that the roles at the vault are for.')
param vaultNames string[]

@description('Application Insights component.')
param componentName string

@description('Roles at the storage account, named as in roleIds.')
param storageRoles string[]

@description('Role at each of the vaults.')
param vaultRole string

@description('Roles at the Application Insights component.')
param componentRoles string[] = []

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageAccountName
}

resource vaults 'Microsoft.KeyVault/vaults@2026-02-01' existing = [
  for name in vaultNames: {
    name: name
  }
]

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource storageAssignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in storageRoles: {
    scope: account
    name: guid(account.id, principalId, roleIds[role])
    properties: {
      principalId: principalId
      principalType: empty(kind) ? null : kind
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds[role])
    }
  }
]

resource vaultAssignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (name, i) in vaultNames: {
    scope: vaults[i]
    name: guid(vaults[i].id, principalId, roleIds[vaultRole])
    properties: {
      principalId: principalId
      principalType: empty(kind) ? null : kind
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds[vaultRole])
    }
  }
]

resource componentAssignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in componentRoles: {
    scope: component
    name: guid(component.id, principalId, roleIds[role])
    properties: {
      principalId: principalId
      principalType: empty(kind) ? null : kind
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds[role])
    }
  }
]
