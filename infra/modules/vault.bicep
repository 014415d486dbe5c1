// A key vault. There are two: one for the client secret and the webhook secret, one for token caches alone, which no
// operator may read. No value is set here: the app writes its own secrets and an operator sets the client secret, so that
// a new deployment never overwrites a rotated one.

@description('Name of the vault, unique in the cloud.')
@minLength(3)
@maxLength(24)
param name string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Keeps a deleted vault from being purged. It cannot be turned off again.')
param purgeProtection bool

@description('Days that a deleted vault or secret can be recovered; fixed when the vault is created.')
@minValue(7)
@maxValue(90)
param softDeleteRetentionInDays int

@description('Closes the public endpoint; needs a private endpoint and VNet integration.')
param privateOnly bool

@description('Workspace for the audit log.')
param workspaceId string

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: softDeleteRetentionInDays
    // `false` is refused by the service: absent means off
    enablePurgeProtection: purgeProtection ? true : null
    publicNetworkAccess: privateOnly ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: privateOnly ? 'Deny' : 'Allow'
    }
  }
}

// every stable version of this type is older than the preview that all of Azure uses
#disable-next-line use-recent-api-versions
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the vault.')
output id string = vault.id
