// Storage of the app: host state, deployed package, queues, tables and claim checks. No shared key opens it.

import { dataContainerName, outputQueueNames, packageContainerName, storageSkuType, tableNames, workQueueNames } from 'types.bicep'

@description('Name of the account, unique in the cloud.')
@minLength(3)
@maxLength(24)
param name string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Replication.')
param sku storageSkuType

@description('Locks the account against being deleted.')
param isLocked bool

@description('Days after which a blob of the data container is deleted: seven that the message of a claim check lives, and a week.')
@minValue(14)
@maxValue(3650)
param batchRetentionInDays int

@description('Closes the public endpoint; needs private endpoints and VNet integration.')
param privateOnly bool

@description('Workspace for the log of queue writes.')
param workspaceId string

var poisonQueueNames = map(workQueueNames, queue => '${queue}-poison')
var queueNames = concat(workQueueNames, poisonQueueNames, outputQueueNames)

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: privateOnly ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: privateOnly ? 'Deny' : 'Allow'
    }
  }
}

// Its tables hold the order book and can't be rebuilt. Deploying needs no delete; who takes the group down removes it first.
resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (isLocked) {
  scope: account
  name: 'keep-orders'
  properties: {
    level: 'CanNotDelete'
    notes: 'The tables of this account say which orders were posted. docs/runbook/lost-tables.md'
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: 7
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: 7
    }
  }
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = [
  for container in [dataContainerName, packageContainerName]: {
    parent: blobs
    name: container
    properties: {
      publicAccess: 'None'
    }
  }
]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-06-01' = {
  parent: account
  name: 'default'
}

// The listener does not create a missing queue, it waits for it; so all of them are here from the start.
resource queues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' = [
  for queue in queueNames: {
    parent: queueService
    name: queue
  }
]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-06-01' = [
  for table in tableNames: {
    parent: tableService
    name: table
  }
]

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'delete-old-claim-checks'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${dataContainerName}/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: batchRetentionInDays
                }
              }
            }
          }
        }
      ]
    }
  }
  dependsOn: [
    blobs
  ]
}

// Writes only: the host polls its queues all day long, and logged reads would cost more than everything else here.
// Every stable version of this type is older than the preview that all of Azure uses.
#disable-next-line use-recent-api-versions
resource queueWrites 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: queueService
  name: 'queue-writes'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'StorageWrite'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the account.')
output id string = account.id
