printf '#!/bin/sh\ntrap "" INT\nexec tee reacted >reactions\n' > react
chmod +x react

# Before: $ regctl events follow --cursor-file /var/lib/ci/cursor | ./react
regctl events follow --cursor-file cursor --once
regctl models tag churn followed=yes

# Before: $ regctl models alias churn champion 7 --if-current 5 --reason "AUC 0.91 on the holdout"
regctl models alias churn champion 5

# Before: $ regctl models deleted
regctl versions delete churn 3 --yes
regctl models delete churn --yes
