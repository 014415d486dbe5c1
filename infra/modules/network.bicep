// Optional: a VNet with private endpoints for storage and vaults. The site itself stays public, because Business Central
// must reach the notification route from the internet.

@description('Name of the virtual network.')
param name string

@description('Region.')
param location string

@description('Tags.')
param tags object

@description('Address space, /26 or larger; the lower half is for the app, the upper for private endpoints.')
param addressPrefix string

@description('Resource id of the storage account.')
param storageAccountId string

@description('Resource id of the key vault for secrets that operators set.')
param vaultId string

@description('Resource id of the key vault for token caches.')
param tokenVaultId string

// half of the space each; /27 is the smallest that the platform takes for the app
var subnetPrefixLength = parseCidr(addressPrefix).cidr + 1

// The group of a private endpoint names the service behind it; each service has one DNS zone.
var groups = ['blob', 'queue', 'table', 'vault']
var zoneNames = [
  'privatelink.blob.${environment().suffixes.storage}'
  'privatelink.queue.${environment().suffixes.storage}'
  'privatelink.table.${environment().suffixes.storage}'
  // the suffix of the zone differs from that of the vault's own address: vaultcore instead of vault
  'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}'
]
var endpoints = [
  { name: 'blob', group: 'blob', target: storageAccountId }
  { name: 'queue', group: 'queue', target: storageAccountId }
  { name: 'table', group: 'table', target: storageAccountId }
  { name: 'vault', group: 'vault', target: vaultId }
  { name: 'token-vault', group: 'vault', target: tokenVaultId }
]

resource vnet 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [addressPrefix]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, subnetPrefixLength, 0)
          delegations: [
            {
              name: 'flex-consumption'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, subnetPrefixLength, 1)
        }
      }
    ]
  }

  resource appSubnet 'subnets' existing = {
    name: 'app'
  }

  resource endpointSubnet 'subnets' existing = {
    name: 'endpoints'
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zoneName in zoneNames: {
    name: zoneName
    location: 'global'
    tags: tags
  }
]

resource zoneLinks 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (group, i) in groups: {
    parent: zones[i]
    name: 'link-${group}'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: vnet.id
      }
    }
  }
]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [
  for endpoint in endpoints: {
    name: 'pe-${name}-${endpoint.name}'
    location: location
    tags: tags
    properties: {
      subnet: {
        id: vnet::endpointSubnet.id
      }
      privateLinkServiceConnections: [
        {
          name: endpoint.name
          properties: {
            privateLinkServiceId: endpoint.target
            groupIds: [endpoint.group]
          }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [
  for (endpoint, i) in endpoints: {
    parent: privateEndpoints[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: endpoint.group
          properties: {
            privateDnsZoneId: zones[indexOf(groups, endpoint.group)].id
          }
        }
      ]
    }
    dependsOn: [
      zoneLinks
    ]
  }
]

@description('Subnet for the app.')
output appSubnetId string = vnet::appSubnet.id
