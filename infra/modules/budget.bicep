// Optional: mail when the group's cost passes a share of a monthly amount. A budget warns, it stops nothing.

@description('Name of the budget.')
param name string

@description('Amount a month in the billing currency.')
@minValue(1)
param amount int

@description('First day of a month, yyyy-MM-01. It must not change once the budget exists.')
@minLength(10)
@maxLength(20)
param startDate string

@description('Who gets the mail.')
@minLength(1)
@maxLength(50)
param emails string[]

resource budget 'Microsoft.Consumption/budgets@2026-06-01' = {
  name: name
  properties: {
    category: 'Cost'
    amount: amount
    timeGrain: 'Monthly'
    timePeriod: {
      startDate: startDate
    }
    notifications: {
      actualEightyPercent: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: emails
      }
      forecastHundredPercent: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 100
        thresholdType: 'Forecasted'
        contactEmails: emails
      }
    }
  }
}
