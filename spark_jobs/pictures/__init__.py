"""Pictures from the web: downloading them politely and safely, looking at them, and storing each once by its digest.

rules      what a download may do: limits, attempts, user agent
addresses  which addresses may be asked, and the resolver that holds to it
robots     robots.txt (RFC 9309) and the header X-Robots-Tag
look       whether bytes are a whole picture of a reasonable size
store      pictures by their digest
fetch      one address: redirects, attempts, limits
columns    addresses from a column of a Parquet file
download   many addresses: hosts in turn, a journal, resumption
placeholders  pictures that hosts give in place of those that are gone
"""
