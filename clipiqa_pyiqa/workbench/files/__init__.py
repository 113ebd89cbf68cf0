"""Files of users: tables, journals, locks, folders, configurations, and names in lines."""
